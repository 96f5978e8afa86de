"""Events and their contract, transports, checkpoint store and outbox: everything between a broker and the fold."""
