// Draws openapi.json as a page: every path, its parameters, its body, a curl line, and a button for paths without any.
function h(tag, props, ...kids) {
  const element = Object.assign(document.createElement(tag), props);
  element.append(...kids.flat(Infinity).filter((kid) => kid != null));
  return element;
}

const kindOf = (schema) => {
  if (!schema) return "";
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.type === "array") return `array of ${kindOf(schema.items)}`;
  const choices = (schema.anyOf || schema.oneOf || []).filter((one) => one.type !== "null");
  return choices.map(kindOf).join(" or ") || [schema.type].flat().join(" or ");
};

function table(head, rows) {
  if (!rows.length) return null;
  return h("div", { className: "scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, head.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell) => h("td", {}, cell)))))));
}

function parameters(operation) {
  const rows = (operation.parameters || []).map((p) => [
    h("code", {}, p.name), p.in, kindOf(p.schema) + (p.required ? ", required" : ""), p.description || p.schema?.description || "",
  ]);
  return table(["parameter", "in", "type", "meaning"], rows);
}

function fields(content) {
  const rows = Object.entries(content).flatMap(([type, { schema }]) => {
    const properties = Object.entries(schema.properties || {});
    if (!properties.length) return [[h("code", {}, type), kindOf(schema), schema.description || ""]];
    return properties.map(([name, p]) => [h("code", {}, name), kindOf(p) + ((schema.required || []).includes(name) ? ", required" : ""), p.description || ""]);
  });
  return table(["body", "type", "meaning"], rows);
}

const EXAMPLES = {
  "/v1/events": ["application/x-ndjson", '{"type":"prediction","id":"tx-1","monitor":"MONITOR","time":"2026-03-01T10:00:00Z","features":{"amount":12.5},"prediction":"ok"}'],
  "/v1/monitors/{monitor}/predict": ["application/json", '{"features":{"amount":12.5}}'],
  "/v1/monitors/{monitor}/control": ["application/json", '{"action":"accept_reference"}'],
};

function curl(method, path) {
  const address = new URL(path.slice(1), document.baseURI).href.replaceAll("%7B", "{").replaceAll("%7D", "}");
  const [type, body] = EXAMPLES[path] || [];
  return h("pre", {}, method === "get" ? `curl '${address}'` : `curl -X POST '${address}' \\\n  -H 'Content-Type: ${type}' \\\n  --data-binary '${body}'`);
}

function attempt(path) {
  const answer = h("pre", { hidden: true });
  const button = h("button", { type: "button" }, "Try it");
  button.addEventListener("click", async () => {
    answer.hidden = false;
    answer.textContent = "…";
    try {
      const reply = await fetch(path.slice(1), { cache: "no-store" });
      const text = await reply.text();
      const pretty = /json/.test(reply.headers.get("content-type") || "") ? JSON.stringify(JSON.parse(text), null, 2) : text;
      answer.textContent = `${reply.status}\n${pretty.length > 20000 ? `${pretty.slice(0, 20000)}\n…` : pretty}`;
    } catch (error) {
      answer.textContent = `The service does not answer: ${error.message}`;
    }
  });
  return [button, answer];
}

function operation(path, method, found) {
  const statuses = Object.keys(found.responses).filter((status) => status !== "422").join(", ");
  return h("details", { id: `${method}${path}` },
    h("summary", {}, h("span", { className: `method ${method}` }, method.toUpperCase()), h("code", {}, path), h("b", {}, found.summary || "")),
    h("div", { className: "body" },
      h("p", {}, found.description || ""), parameters(found), fields(found.requestBody?.content || {}), curl(method, path),
      method === "get" && !path.includes("{") ? attempt(path) : null,
      h("p", {}, `Answers ${statuses}; errors are application/problem+json with what_to_do.`)));
}

async function draw() {
  const api = await (await fetch("openapi.json")).json();
  document.getElementById("about").textContent = api.info.description;
  const groups = new Map();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, found] of Object.entries(methods)) {
      const tag = found.tags?.[0] || "other";
      groups.set(tag, [...(groups.get(tag) || []), operation(path, method, found)]);
    }
  }
  document.getElementById("operations").replaceChildren(...[...groups].flatMap(([tag, found]) => [h("h2", {}, tag), ...found]));
}

draw().catch((error) => {
  document.getElementById("about").textContent = `The description cannot be read: ${error.message}`;
});
