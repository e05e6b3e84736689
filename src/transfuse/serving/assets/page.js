"use strict";

const SHOWN = 8; // Labels with a bar of their own at first.
const FAINT = 0.08; // Tokens whose weight is a smaller share of the largest are left plain.

const at = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const number = (value) => Number(value.toPrecision(4)).toLocaleString("en");

let models = [];
let token = "";
let round = 0; // Answers to what was asked before are not shown.
let reason = 0; // Nor are the reasons for another label than the last one asked for.
let asked = null; // The text and the model of the answer on the page.
let picture = ""; // The picture that is asked about, as a data URL.

const SHORT = 2000; // Characters of a picture that an address still holds.

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

class Trouble extends Error {
  constructor(status, problems) {
    super(problems.map((problem) => problem.what).join("; "));
    this.status = status;
    this.problems = problems;
  }
}

async function call(path, body) {
  const headers = {};
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers["Content-Type"] = "application/json";
  const request = { headers, method: body ? "POST" : "GET", body: body && JSON.stringify(body) };
  let response;
  try {
    response = await fetch(path, request);
  } catch {
    throw new Trouble(0, [{ where: "server", what: "does not answer", fix: "Is it still running?" }]);
  }
  const told = await response.json().catch(() => ({}));
  if (response.ok) return told;
  throw new Trouble(response.status, told.problems || [{ where: "server", what: response.statusText }]);
}

function complain(trouble) {
  if (!(trouble instanceof Trouble)) throw trouble;
  const box = at("problem");
  box.replaceChildren();
  for (const { where, what, expected, fix } of trouble.problems) {
    box.append(element("p", {}, element("strong", {}, where), ` ${what}${expected ? `; expected ${expected}` : ""}.`));
    if (fix) box.append(element("p", {}, fix));
  }
  box.hidden = false;
  at("access").hidden = trouble.status !== 401;
}

// Models

function chosen() {
  return models.find((model) => model.name === at("model").value);
}

function readsPictures(model) {
  return Boolean(model?.reads?.includes("image"));
}

function describe() {
  const model = chosen();
  if (!model) return;
  document.title = `${model.name} · Transfuse`;
  at("title").textContent = model.name;
  at("send").disabled = !model.ready;
  const pictures = readsPictures(model);
  for (const place of ["written", "keys"]) at(place).hidden = pictures;
  at("pictured").hidden = !pictures;
  at("text").required = !pictures;
  const facts = [];
  if (!model.ready) {
    facts.push("is being loaded …");
  } else {
    const few = model.labels.slice(0, 5).join(", ");
    const rest = model.labels.length - 5;
    if (model.labels.length) facts.push(rest > 0 ? `${few} and ${rest} more` : few);
    if (model.metric) {
      const rows = model.test_rows ? ` on ${model.test_rows.toLocaleString("en")} test rows` : "";
      facts.push(`${model.metric.replaceAll("_", " ")} ${model.measured.toFixed(3)}${rows}`);
    }
  }
  at("facts").textContent = facts.join(" · ");
}

async function list(wanted) {
  models = (await call("/v1/models")).models;
  at("access").hidden = true;
  at("problem").hidden = true;
  const before = wanted || at("model").value;
  at("model").replaceChildren(
    ...models.map((model) => element("option", { value: model.name }, model.name)),
  );
  if (models.some((model) => model.name === before)) at("model").value = before;
  at("choice").hidden = models.length < 2;
  describe();
  if (!models.every((model) => model.ready)) setTimeout(() => list().catch(complain), 1000);
}

async function whenReady() {
  while (!chosen()?.ready) await new Promise((again) => setTimeout(again, 200));
}

// Answers

function showAnswer({ prediction, confidence, probabilities }) {
  const several = Array.isArray(prediction);
  let said = several ? prediction.join(", ") || "none of the labels" : prediction;
  if (typeof prediction === "number") said = number(prediction);
  at("said").textContent = said;
  at("sure").textContent = confidence === null ? "" : `${percent(confidence)} sure`;
  const told = new Set(several ? prediction : [prediction]);
  const rows = Object.entries(probabilities || {}).sort((one, other) => other[1] - one[1]);
  at("likely").hidden = !rows.length;
  showBars(rows, told, false);
}

function showBars(rows, told, all) {
  const shown = all ? rows : rows.slice(0, SHOWN);
  at("bars").replaceChildren(...shown.map(([label, share]) => bar(label, share, told.has(label))));
  at("more").hidden = shown.length === rows.length;
  at("more").textContent = `Show all ${rows.length} labels`;
  at("more").onclick = () => showBars(rows, told, true);
}

function bar(label, share, told) {
  const fill = element("i");
  fill.style.setProperty("--share", `${100 * share}%`);
  const name = element("button", { type: "button", title: `What speaks for ${label}?`, dir: "auto" }, label);
  name.dataset.label = label;
  name.onclick = () => explain(label).catch(complain);
  const row = element("tr", told ? { class: "told" } : {});
  row.append(
    element("th", { scope: "row" }, name),
    element("td", { "aria-hidden": "true" }, element("span", { class: "track" }, fill)),
    element("td", {}, percent(share)),
  );
  return row;
}

// What drove an answer

async function explain(label) {
  const mine = (reason += 1);
  at("why").hidden = false;
  at("why-state").textContent = "Reading the text with and without each of its parts …";
  const body = label ? { text: asked.text, label } : { text: asked.text };
  let told;
  try {
    told = await call(`/v1/models/${encodeURIComponent(asked.model)}/explain`, body);
  } finally {
    if (mine === reason) at("why-state").textContent = "";
  }
  if (mine !== reason) return;
  at("why-title").textContent = `What drove “${told.label}”`;
  at("for-label").textContent = told.label;
  for (const button of at("bars").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", button.dataset.label === told.label);
  }
  showTokens(told);
  at("why-found").hidden = false;
}

function showTokens({ text, tokens, gap, note }) {
  const letters = Array.from(text); // The server counts characters, not UTF-16 units.
  const largest = Math.max(...tokens.map((token) => Math.abs(token.weight)), 1e-12);
  const parts = [];
  let place = 0;
  for (const { start, end, weight } of [...tokens].sort((one, other) => one.start - other.start)) {
    if (start < place || end <= start) continue;
    parts.push(letters.slice(place, start).join(""));
    const heat = Math.abs(weight) / largest;
    const piece = letters.slice(start, end).join("");
    if (heat < FAINT) {
      parts.push(piece);
    } else {
      const mark = element("mark", { class: weight > 0 ? "for" : "against", title: signed(weight) }, piece);
      mark.style.setProperty("--heat", heat.toFixed(3));
      parts.push(mark);
    }
    place = end;
  }
  parts.push(letters.slice(place).join(""));
  at("tokens").replaceChildren(...parts);
  const rows = [...tokens].sort((one, other) => Math.abs(other.weight) - Math.abs(one.weight));
  at("weights").replaceChildren(
    ...rows.map((token) => {
      const name = element("th", { scope: "row", dir: "auto" }, token.text);
      return element("tr", {}, name, element("td", {}, signed(token.weight)));
    }),
  );
  const miss = `Of what they should add up to, ${percent(gap)} is missing: what words do only together.`;
  at("gap").textContent = `Weights are parts of the log-odds. ${gap < 0.0005 ? "" : miss} ${note}`;
}

function signed(weight) {
  return `${weight < 0 ? "−" : "+"}${Math.abs(weight).toFixed(3)}`;
}

// Asking

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function showCurl(path, body) {
  const lines = [`curl ${quoted(location.origin + path)}`];
  if (body.images) {
    const file = `(printf '{"images": ["'; base64 < photo.jpg | tr -d '\\n'; printf '"]}')`;
    lines[0] = `${file} | ${lines[0]}`;
  }
  if (token) lines.push('-H "Authorization: Bearer $TOKEN"');
  const sent = body.images ? "--data-binary @-" : `-d ${quoted(JSON.stringify(body))}`;
  lines.push("-H 'Content-Type: application/json'", sent);
  at("curl").textContent = lines.join(" \\\n  ");
}

async function ask() {
  const model = chosen();
  const pictures = readsPictures(model);
  const text = pictures ? picture : at("text").value;
  if (!text.trim() || !model) return;
  const mine = (round += 1);
  reason += 1;
  asked = { text, model: model.name };
  at("problem").hidden = true;
  at("send").disabled = true;
  at("result").classList.add("old");
  const path = `/v1/models/${encodeURIComponent(model.name)}/predict`;
  const body = { [pictures ? "images" : "texts"]: [text], probabilities: true };
  try {
    const { predictions } = await call(path, body);
    if (mine !== round) return;
    at("why").hidden = true;
    at("why-found").hidden = true;
    showAnswer(predictions[0]);
    showCurl(path, body);
    at("result").hidden = false;
    const told = { model: model.name };
    if (!pictures) told.text = text;
    else if (text.length < SHORT) told.image = text;
    history.replaceState(null, "", `#${new URLSearchParams(told)}`);
  } finally {
    at("send").disabled = false;
    at("result").classList.remove("old");
  }
  if (!pictures) await explain();
}

function show(found) {
  picture = found;
  at("shown").src = found;
  at("shown").hidden = false;
}

function take(file) {
  if (!file) return;
  const reader = new FileReader();
  reader.onload = () => {
    show(reader.result);
    ask().catch(complain);
  };
  reader.onerror = () =>
    complain(new Trouble(0, [{ where: file.name, what: "cannot be read" }]));
  reader.readAsDataURL(file);
}

async function fromAddress() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  await list(wanted.get("model"));
  const image = wanted.get("image") || "";
  if (image.startsWith("data:image/")) show(image);
  else if (!wanted.get("text")) return;
  at("text").value = wanted.get("text") || "";
  await whenReady();
  await ask();
}

at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  ask().catch(complain);
});
at("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("ask").requestSubmit();
});
at("model").addEventListener("change", () => {
  describe();
  at("result").hidden = true;
  if (readsPictures(chosen()) ? picture : at("text").value.trim()) ask().catch(complain);
});
at("picture").addEventListener("change", () => take(at("picture").files[0]));
for (const kind of ["dragover", "dragleave", "drop"]) {
  at("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") take(event.dataTransfer.files[0]);
  });
}
at("access").addEventListener("submit", (event) => {
  event.preventDefault();
  token = at("token").value.trim();
  fromAddress().catch(complain);
});
fromAddress().catch(complain);
