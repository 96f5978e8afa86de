"""Which addresses a webhook may reach: tricks collected from reports on server-side request forgery."""

from __future__ import annotations

import pytest

from service.webhook_address import AddressRefusedError, parse_receiver, resolve

PUBLIC = "93.184.216.34"

# Refused by their text alone, whatever a resolver says.
REFUSED_BY_TEXT = [
    "http://127.0.0.1/",
    "http://127.0.0.1:8080/",
    "http://127.0.0.1:22/",
    "http://127.0.0.1./",
    "http://127.255.255.254/",
    "http://127.1/",
    "http://127.0.1/",
    "http://2130706433/",
    "http://017700000001/",
    "http://0177.0.0.1/",
    "http://0177.0000.0000.0001/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0x7f.1/",
    "http://0X7F000001/",
    "http://127.0.0.0x1/",
    "http://127.000.000.001/",
    "http://0/",
    "http://0.0.0.0/",
    "http://0.0.0.0:8000/",
    "http://00000/",
    "http://10.0.0.1/",
    "http://10.255.255.255/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.0.1/",
    "http://192.168.1.1:443/",
    "http://3232235777/",
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.170.2/v2/credentials",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://100.64.0.1/",
    "http://100.100.100.200/",
    "http://168.63.129.16/",
    "http://192.0.0.192/",
    "http://192.0.2.1/",
    "http://198.18.0.1/",
    "http://198.51.100.7/",
    "http://203.0.113.9/",
    "http://192.88.99.1/",
    "http://224.0.0.1/",
    "http://239.255.255.250/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://256.256.256.256/",
    "http://1.2.3/",
    "http://1.2.3.4.5/",
    "http://[::1]/",
    "http://[::]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:10.0.0.1]/",
    "http://[::ffff:8.8.8.8]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[64:ff9b:1::a00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:7f00:1::]/",
    "http://[2001:4860::5efe:a00:1]/",
    "http://[2001:db8::1]/",
    "http://[3fff::1]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://[100::1]/",
    "http://[5f00::1]/",
    "http://[::1/",
    "http://::1/",
    "http://localhost/",
    "http://LOCALHOST/",
    "http://localhost./",
    "http://localhost:8000/",
    "http://foo.localhost/",
    "http://localhost.localdomain/",
    "http://metadata.google.internal/",
    "http://printer.local/",
    "http://router.home.arpa/",
    "http://example.com@127.0.0.1/",
    "http://127.0.0.1@example.com/",
    "http://user:password@example.com/",
    "http://@example.com/",
    "http://example.com%2f@127.0.0.1/",
    "http://%31%32%37.0.0.1/",
    "http://127.0.0.1%00.example.com/",
    "http://example.com\\@127.0.0.1/",
    "http:\\\\127.0.0.1/",
    "http://127.0.0.1\t/",
    "http://exam\nple.com/",
    " http://example.com/",
    "http://example.com/\r\nx: y",
    "http://①②⑦.⓪.⓪.①/",
    "http://127。0。0。1/",
    "http://ⓛocalhost/",
    "http://example.com:0/",
    "http://example.com:/",
    "http://example.com:65536/",
    "http://example.com:80:80/",
    "http://example.com:-1/",
    "http://example..com/",
    "http://.example.com/",
    "http://-example.com/",
    "http://a,b/",
    "http:///path",
    "http:/127.0.0.1/",
    "http://",
    "//127.0.0.1/",
    "127.0.0.1",
    "",
    "file:///etc/passwd",
    "ftp://example.com/",
    "gopher://127.0.0.1:6379/_INFO",
    "javascript:alert(1)",
    "unix:///var/run/docker.sock",
    "ws://example.com/",
]

# A public name whose resolver gives one of these is refused too.
REFUSED_BY_RESOLUTION = [
    "127.0.0.1",
    "0.0.0.0",  # noqa: S104 - an answer of a resolver, bound to nothing
    "10.1.2.3",
    "172.20.0.5",
    "192.168.7.7",
    "169.254.169.254",
    "100.64.3.2",
    "198.18.0.1",
    "224.0.0.5",
    "255.255.255.255",
    "168.63.129.16",
    "::1",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "fe80::1",
    "fe80::1%eth0",
    "fd12::1",
    "fec0::1",
    "ff02::fb",
    "not an address",
]


def _never(host: str, port: int) -> list[str]:
    raise AssertionError(f"{host}:{port} was looked up although its text alone is refused")


@pytest.mark.parametrize("url", REFUSED_BY_TEXT)
def test_a_trick_in_the_text_is_refused_without_a_look_up(url: str) -> None:
    """Every spelling of an inner address, and every address that two readers could read differently, is refused."""
    with pytest.raises(AddressRefusedError):
        resolve(parse_receiver(url), _never)


@pytest.mark.parametrize("address", REFUSED_BY_RESOLUTION)
@pytest.mark.parametrize("place", [0, 1])
def test_every_address_of_a_name_is_checked(address: str, place: int) -> None:
    """One inner address among public ones refuses the whole answer, wherever it stands."""
    answer = [PUBLIC]
    answer.insert(place, address)
    with pytest.raises(AddressRefusedError):
        resolve(parse_receiver("https://hooks.example.com/"), lambda host, port: answer)


@pytest.mark.parametrize(
    ("url", "host", "port", "target"),
    [
        ("https://hooks.example.com/drift?team=ml#part", "hooks.example.com", 443, "/drift?team=ml"),
        ("HTTP://Hooks.Example.COM.", "hooks.example.com", 80, "/"),
        ("http://my_host.example.com:8443/a/../b", "my_host.example.com", 8443, "/a/../b"),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443, "/"),
        ("https://93.184.216.34/x", "93.184.216.34", 443, "/x"),
        ("https://[2606:2800:220:1::1]:444/", "2606:2800:220:1::1", 444, "/"),
        ("https://internal.example.com/", "internal.example.com", 443, "/"),
        ("https://example.com/@127.0.0.1", "example.com", 443, "/@127.0.0.1"),
    ],
)
def test_an_honest_address_is_taken_apart(url: str, host: str, port: int, target: str) -> None:
    """Public receivers are accepted, with the parts that the connection will use."""
    receiver = parse_receiver(url)
    assert (receiver.host, receiver.port, receiver.target) == (host, port, target)
    expected = [host] if receiver.address is not None else [PUBLIC]
    assert resolve(receiver, lambda host, port: [PUBLIC]) == expected


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/", "http://localhost/", "http://10.0.0.5/", "http://[::1]/", "http://[fd00::1]/"]
)
def test_allow_private_opens_private_addresses(url: str) -> None:
    """What is refused by default is reachable once the configuration says so."""
    assert resolve(parse_receiver(url, allow_private=True), lambda host, port: ["127.0.0.1"])


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/",
        "http://[fd00:ec2::254]/",
        "http://[::ffff:169.254.169.254]/",
        "http://224.0.0.1/",
        "http://0.0.0.0/",
        "http://[::]/",
        "http://255.255.255.255/",
        "http://2130706433/",
        "http://user@127.0.0.1/",
    ],
)
def test_allow_private_opens_no_metadata_service_and_no_disguise(url: str) -> None:
    """Metadata services, multicast and the unspecified address stay shut, and so do disguised spellings."""
    with pytest.raises(AddressRefusedError):
        parse_receiver(url, allow_private=True)


def test_a_name_without_an_address_is_an_outage_and_no_refusal() -> None:
    """An empty answer is an `OSError`: it is tried again."""
    with pytest.raises(OSError, match="no address"):
        resolve(parse_receiver("https://hooks.example.com/"), lambda host, port: [])
