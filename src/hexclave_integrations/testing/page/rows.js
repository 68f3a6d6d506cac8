// The rows of the page's lists. Whatever was stored is put in as text, never as HTML.

export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

// Bring a list up to date. A row that did not change stays the same node, so that focus and selection stay with it.
export function sync(list, rows, keyOf, build) {
  const known = new Map([...list.children].map((node) => [node.dataset.key, node]));
  const nodes = rows.map((row) => {
    const key = String(keyOf(row));
    const text = JSON.stringify(row);
    const found = known.get(key);
    if (found && found.source === text) return found;
    const node = build(row);
    node.dataset.key = key;
    node.source = text;
    return node;
  });
  const focused = list.contains(document.activeElement) ? document.activeElement : null;
  const name = focused && focused.getAttribute("aria-label");
  const keep = new Set(nodes);
  for (const node of [...list.children]) if (!keep.has(node)) node.remove();
  nodes.forEach((node, place) => {
    if (list.children[place] !== node) list.insertBefore(node, list.children[place] ?? null);
  });
  if (focused && document.activeElement !== focused) {
    const again = [...list.querySelectorAll("button")].find((one) => one.getAttribute("aria-label") === name);
    (again ?? list.closest("section").querySelector("h2")).focus();
  }
}

const short = (id) => id.slice(0, 8);
const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString();
const pill = (text, tone) => element("span", { class: `pill ${tone}` }, text);
const soft = (text) => element("span", { class: "soft" }, text);

function button(text, label, action, tone = "quiet") {
  const node = element("button", { type: "button", class: tone, "aria-label": label }, text);
  node.addEventListener("click", action);
  return node;
}

function chip(text, label, action) {
  return element("span", { class: "chip" }, text, button("×", label, action, ""));
}

export const nameOf = (user) => user.display_name || user.primary_email || `${user.kind} user ${short(user.id)}`;

export function userRow(user, teams, page) {
  const name = nameOf(user);
  const tones = { regular: "good", restricted: "warn", anonymous: "" };
  const reasons = { email_not_verified: "e-mail not verified", restricted_by_administrator: "by an administrator" };
  const why = user.kind === "restricted" ? `restricted: ${reasons[user.restricted_reason] ?? user.restricted_reason}` : user.kind;
  const grants = user.grants.map(({ permission, team }) => {
    const where = team === null ? "in the project" : `in ${teams.get(team) ?? short(team)}`;
    return chip(`${permission} ${where}`, `Revoke ${permission} ${where} from ${name}`, () => page.act("revoke", { user: user.id, permission, team }, "Revoked."));
  });
  const lift = user.kind === "restricted";
  return element("li", {},
    element("div", { class: "head" }, element("strong", {}, name), pill(why, tones[user.kind]),
      user.primary_email && user.display_name ? soft(user.primary_email) : "",
      soft(user.sessions === 1 ? "1 session" : `${user.sessions} sessions`)),
    grants.length ? element("div", { class: "chips" }, ...grants) : "",
    element("div", { class: "actions" },
      button("Copy token", `Copy a token of ${name}`, () => page.copyToken(user.id, name)),
      button("Show token", `Show a token of ${name}`, () => page.showToken(user.id, name)),
      button("Copy id", `Copy the id of ${name}`, () => page.copy(user.id, "The user id")),
      button("Sign out", `Sign ${name} out everywhere`, () => page.act("sign-out", { user: user.id }, "Signed out. A live() check refuses them at once; a token lasts up to 10 minutes.")),
      user.kind === "anonymous" ? "" : button(lift ? "Lift restriction" : "Restrict", `${lift ? "Lift the restriction of" : "Restrict"} ${name}`, () => page.act(lift ? "unrestrict" : "restrict", { user: user.id }, lift ? "Lifted. Tokens made from now on say so." : "Restricted. Tokens made from now on say so.")),
      button("Delete", `Delete ${name}`, () => page.confirm(`Delete ${name}?`, "delete-user", { user: user.id }, "Deleted."), "quiet bad")));
}

export function teamRow(team, users, page) {
  const members = team.members.map((id) => {
    const name = users.get(id) ?? short(id);
    return chip(name, `Take ${name} out of ${team.display_name}`, () => page.act("remove-member", { team: team.id, user: id }, "Removed."));
  });
  return element("li", {},
    element("div", { class: "head" }, element("strong", {}, team.display_name), soft(team.members.length === 1 ? "1 member" : `${team.members.length} members`)),
    members.length ? element("div", { class: "chips" }, ...members) : "",
    element("div", { class: "actions" },
      button("Copy id", `Copy the id of the team ${team.display_name}`, () => page.copy(team.id, "The team id")),
      button("Delete", `Delete the team ${team.display_name}`, () => page.confirm(`Delete the team ${team.display_name}?`, "delete-team", { team: team.id }, "Deleted."), "quiet bad")));
}

export function permissionRow(permission) {
  const contains = permission.contains.length ? `with ${permission.contains.join(", ")}` : "";
  return element("li", {}, element("div", { class: "head" }, element("code", {}, permission.id), pill(permission.scope, ""), contains && soft(contains)));
}

export function keyRow(key, owners, page) {
  const over = key.expires_at_millis !== undefined && key.expires_at_millis <= Date.now();
  const revoked = key.manually_revoked_at_millis !== undefined;
  const state = revoked ? pill("revoked", "wrong") : over ? pill("expired", "warn") : pill("valid", "good");
  return element("li", {},
    element("div", { class: "head" }, element("strong", {}, key.description), element("code", {}, `…${key.value.last_four}`), state, soft(`${key.type} ${owners.get(key.owner_id) ?? short(key.owner_id)}`)),
    revoked ? "" : element("div", { class: "actions" }, button("Revoke", `Revoke the API key ${key.description}`, () => page.act("revoke-api-key", { id: key.id }, "Revoked."), "quiet bad")));
}

export function signingRow(key) {
  return element("li", {}, element("div", { class: "head" }, element("code", {}, key.id), pill(key.signs ? "signs" : "only published", key.signs ? "good" : ""), soft(`${key.kind} users`)));
}

export function sessionRow(session, users, page) {
  const name = users.get(session.user_id) ?? short(session.user_id);
  return element("li", {},
    element("div", { class: "head" }, element("strong", {}, name), session.is_over ? pill("expired", "warn") : "", session.is_impersonation ? pill("impersonation", "") : "",
      soft(`since ${new Date(session.created_at).toLocaleString()}`), button("End", `End the session ${short(session.id)} of ${name}`, () => page.act("end-session", { id: session.id }, "Ended."))));
}

export function requestRow(request) {
  const query = new URLSearchParams(request.query).toString();
  const tone = request.reason !== null || request.status === null || request.status >= 400 ? "wrong" : "good";
  return element("li", {},
    element("div", { class: "head" }, pill(request.status === null ? "no answer" : String(request.status), tone), element("span", { class: "path" }, `${request.method} ${request.path}${query && "?"}${query}`),
      soft(`${request.access_type ?? "public"}, ${clock(request.at)}`)),
    request.reason === null ? "" : element("p", { class: "reason" }, request.code ? element("code", {}, request.code) : "", request.code ? ": " : "", request.reason));
}

export function emailRow(email, page) {
  const web = /^https?:\/\//i.test(email.link ?? "");
  return element("li", {},
    element("div", { class: "head" }, element("strong", {}, email.subject), soft(`to ${email.to}`), pill(email.kind.replaceAll("_", " "), "")),
    element("div", { class: "actions" },
      email.code ? button(`Copy code ${email.code}`, `Copy the code ${email.code}`, () => page.copy(email.code, "The code")) : "",
      web ? element("a", { href: email.link, target: "_blank", rel: "noopener noreferrer" }, "Open its link") : ""));
}

export function webhookRow(delivery) {
  const status = delivery.status === null ? "no answer" : String(delivery.status);
  return element("li", {},
    element("div", { class: "head" }, pill(status, delivery.accepted ? "good" : "wrong"), element("span", { class: "path" }, delivery.type), soft(`attempt ${delivery.attempt}`)),
    delivery.accepted ? "" : element("p", { class: "reason" }, delivery.status === null ? "The endpoint gave no answer: is the application running there?" : "Not accepted: anything but a 2xx is sent again."));
}
