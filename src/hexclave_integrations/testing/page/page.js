// Asks for the state of the sandbox once a second, shows it, and sends what is clicked.

import { element, emailRow, keyRow, nameOf, permissionRow, requestRow, sessionRow, signingRow, sync, teamRow, userRow, webhookRow } from "./rows.js";

const PAUSE = 1000;
const TOLD = 5000;
const at = (id) => document.getElementById(id);
let shown = "";
let mark = null;
let timer = 0;
let quiet = 0;
let state = null;

function tell(text) {
  (at("secret").open ? at("secret") : document.body).append(at("told")); // an open dialog covers everything else
  at("told").textContent = text;
  clearTimeout(quiet);
  quiet = setTimeout(() => { at("told").textContent = ""; }, TOLD);
}

async function send(name, values) {
  const given = Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null && value !== ""));
  let answer;
  try {
    answer = await fetch(`/_sandbox/do/${name}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(given) });
  } catch {
    tell("The sandbox does not answer. Is it running?");
    return null;
  }
  const told = await answer.json();
  if (!answer.ok) {
    tell(told.error);
    return null;
  }
  return told;
}

async function act(name, values, done) {
  const told = await send(name, values);
  if (told === null) return null;
  tell(done);
  await refresh();
  return told;
}

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    tell(`${what} is in the clipboard.`);
    return true;
  } catch {
    tell("The browser does not let this page copy: select the text instead.");
    return false;
  }
}

function showSecret(title, hint, text) {
  at("secret-title").textContent = title;
  at("secret-hint").textContent = hint;
  at("secret-text").textContent = text;
  at("secret").showModal();
}

const header = (token) => `x-stack-access-token: ${token}`;

const page = {
  act,
  copy,
  confirm: (question, name, values, done) => { if (window.confirm(question)) act(name, values, done); },
  async copyToken(user, name) {
    const told = await send("token", { user });
    if (told && !(await copy(told.token, `A token of ${name}`))) showSecret(`A token of ${name}`, "", told.token);
  },
  async showToken(user, name) {
    const told = await send("token", { user });
    if (told) showSecret(`A token of ${name}`, `Good for ${told.seconds / 60} minutes. Send it as a header, or as Authorization: Bearer.`, header(told.token));
  },
};

// A select that keeps what was chosen while the options change.
function fill(select, options) {
  const first = select.dataset.first;
  const wanted = [...(first === undefined ? [] : [["", first]]), ...options];
  const text = JSON.stringify(wanted);
  if (select.source === text) return;
  const chosen = select.value;
  select.replaceChildren(...wanted.map(([value, label]) => element("option", { value }, label)));
  if (wanted.some(([value]) => value === chosen)) select.value = chosen;
  select.source = text;
}

function show(now) {
  state = now;
  const users = new Map(now.users.items.map((user) => [user.id, nameOf(user)]));
  const teams = new Map(now.teams.items.map((team) => [team.id, team.display_name]));
  const owners = new Map([...users, ...teams]);
  for (const node of document.querySelectorAll("[data-count]")) node.textContent = now[node.dataset.count].total;
  at("api-url").textContent = now.project.api_url;
  at("project-id").textContent = now.project.id;
  const out = now.outages.length > 0;
  at("status").textContent = out ? "Outage" : "Running";
  at("status").className = `pill ${out ? "wrong" : "good"}`;
  at("end-outage").disabled = !out;
  const paths = now.outages.map((one) => `${one.kind.replace("_", " ")}${one.paths.length ? ` for ${one.paths.join(", ")}` : ""}`);
  at("outage-now").textContent = out ? `Now: ${paths.join("; ")}.` : "Everything is answered.";
  const options = {
    users: [...users],
    teams: [...teams],
    owners: [...[...users].map(([id, name]) => [`user:${id}`, name]), ...[...teams].map(([id, name]) => [`team:${id}`, `Team ${name}`])],
  };
  for (const select of document.querySelectorAll("select[data-options]")) fill(select, options[select.dataset.options]);
  fill(at("permission-names"), now.permissions.map((one) => [one.id, one.scope]));
  at("permission-count").textContent = now.permissions.length;
  const newest = (list) => list.items.slice().reverse();
  // What a row shows of others belongs to what it is compared by.
  sync(at("user-list"), newest(now.users).map((user) => ({ ...user, teams: user.grants.map((one) => teams.get(one.team)) })), (user) => user.id, (user) => userRow(user, teams, page));
  sync(at("team-list"), newest(now.teams).map((team) => ({ ...team, names: team.members.map((id) => users.get(id)) })), (team) => team.id, (team) => teamRow(team, users, page));
  sync(at("permission-list"), now.permissions, (one) => one.id, permissionRow);
  sync(at("key-list"), newest(now.api_keys).map((key) => ({ ...key, owner: owners.get(key.owner_id) })), (key) => key.id, (key) => keyRow(key, owners, page));
  sync(at("signing-list"), now.signing_keys, (key) => key.id, signingRow);
  sync(at("session-list"), newest(now.sessions).map((session) => ({ ...session, name: users.get(session.user_id) })), (session) => session.id, (session) => sessionRow(session, users, page));
  const refused = at("only-refused").checked;
  sync(at("request-list"), newest(now.requests).filter((one) => !refused || one.reason !== null || one.status >= 400), (one) => one.number, requestRow);
  const before = now.emails.total - now.emails.items.length;
  sync(at("email-list"), now.emails.items.map((email, place) => ({ ...email, place: before + place })).reverse(), (email) => email.place, (email) => emailRow(email, page));
  sync(at("webhook-list"), newest(now.webhooks), (one) => `${one.id} ${one.endpoint} ${one.attempt}`, webhookRow);
  at("endpoints").textContent = now.endpoints.length ? `Delivered to ${now.endpoints.join(", ")}.` : "No endpoint: start the sandbox with --webhook-url to have webhooks delivered.";
}

async function refresh() {
  clearTimeout(timer);
  try {
    const answer = await fetch("/_sandbox/state", { headers: mark ? { "if-none-match": mark } : {}, cache: "no-store" });
    if (answer.status === 200) {
      mark = answer.headers.get("etag");
      const text = await answer.text();
      if (text !== shown) show(JSON.parse(text));
      shown = text;
    } else if (answer.status !== 304) {
      throw new Error(`status ${answer.status}`);
    }
  } catch {
    mark = null;
    shown = "";
    at("status").textContent = "Not running: trying again";
    at("status").className = "pill wrong";
  }
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(refresh, PAUSE);
}

function onSubmit(id, name, done, then = () => {}) {
  at(id).addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = event.currentTarget;
    const told = await act(name, Object.fromEntries(new FormData(form)), done);
    if (told === null) return;
    for (const input of form.querySelectorAll("input")) input.value = "";
    then(told);
  });
}

onSubmit("user-form", "create-user", "The user is there.");
onSubmit("team-form", "create-team", "The team is there.");
onSubmit("member-form", "add-member", "Added.");
onSubmit("grant-form", "grant", "Granted.");
onSubmit("key-form", "create-api-key", "The API key is there.", (told) => showSecret("A new API key", "It is shown once. Send it as x-api-key.", told.value));
onSubmit("outage-form", "begin-outage", "The outage has begun.");
at("end-outage").addEventListener("click", () => act("end-outage", {}, "The outage is over."));
at("rotate").addEventListener("click", () => act("rotate-keys", {}, "The keys were rotated. Tokens signed before are void."));
at("show-variables").addEventListener("click", async () => {
  const told = await send("variables", {});
  if (told) showSecret("Variables", "For a shell or an .env file. The keys are good for this sandbox only.", Object.entries(told.variables).map(([name, value]) => `${name}=${value}`).join("\n"));
});
at("secret-close").addEventListener("click", () => at("secret").close());
at("secret").addEventListener("close", () => { at("secret-text").textContent = ""; });
at("only-refused").addEventListener("change", () => state && show(state));
for (const node of document.querySelectorAll("[data-copy]")) {
  node.addEventListener("click", () => copy(at(node.dataset.copy).textContent, "It"));
}
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
refresh();
