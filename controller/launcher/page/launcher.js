"use strict";
// Lists the nodes as the event stream tells them. Everything that comes from
// outside goes into the page as text, never as markup.
const nodes = new Map();
const body = document.getElementById("nodes");
const summary = document.getElementById("summary");
const message = document.getElementById("message");

function cell(row, text, className) {
  const td = row.insertCell();
  td.textContent = text ?? "";
  if (className) td.className = className;
  return td;
}

async function call(path, options) {
  message.textContent = "";
  try {
    const answer = await fetch(path, { method: "POST", ...options });
    if (!answer.ok) message.textContent = (await answer.json()).error;
  } catch (error) {
    message.textContent = `The launcher does not answer: ${error.message}`;
  }
}

function action(td, id, verb, label, enabled, question) {
  const button = document.createElement("button");
  button.textContent = label;
  button.disabled = !enabled;
  button.setAttribute("aria-label", `${label} ${id}`);
  button.addEventListener("click", () => {
    if (!question || confirm(question)) call(`/api/control/${verb}/${encodeURIComponent(id)}`);
  });
  td.append(button);
}

function draw() {
  const focused = document.activeElement?.getAttribute("aria-label");
  body.replaceChildren();
  let online = 0, leader = "", planes = false;
  for (const id of [...nodes.keys()].sort((a, b) => a.localeCompare(b, undefined, { numeric: true }))) {
    const n = nodes.get(id);
    if (n.status === "online") online++;
    if (n.is_leader) leader = id;
    if (n.data_plane) planes = true;
    const row = body.insertRow();
    cell(row, id, n.is_leader ? "leader" : "");
    const state = n.status === "online" && n.state === "running" ? (n.joining ? "joining" : "online") : n.state;
    cell(row, state, `state ${state}`);
    cell(row, n.is_leader ? "leader" : n.role || (n.raft_state || "").toLowerCase());
    cell(row, n.status === "online" ? n.revision : "", "number");
    cell(row, n.status === "online" ? n.lag : "", "number");
    cell(row, n.data_plane ? n.data_plane.status || n.data_plane.state : "", "plane");
    cell(row, n.addresses.api);
    cell(row, n.addresses.etcd, "detail");
    cell(row, n.since ? new Date(n.since).toLocaleTimeString() : "", "detail");
    const actions = cell(row, "", "actions");
    const runs = n.state === "running" || n.state === "starting" || n.state === "waiting";
    action(actions, id, "stop", "Stop", runs);
    action(actions, id, "start", "Start", n.state !== "leaving" && n.state !== "running");
    action(actions, id, "restart", "Restart", runs);
    action(actions, id, "delete", "Decommission", n.state !== "leaving", `Remove ${id} from the cluster and delete its data?`);
    if (n.last_error && n.status !== "online") {
      const td = cell(body.insertRow(), n.last_error, "error");
      td.colSpan = 10;
    }
  }
  body.parentElement.classList.toggle("planes", planes);
  summary.textContent = `${online} of ${nodes.size} nodes online, ${leader ? `${leader} leads` : "no leader"}`;
  if (focused) body.querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
}

const events = new EventSource("/api/control/events");
events.addEventListener("nodes", (e) => {
  nodes.clear();
  for (const [id, n] of Object.entries(JSON.parse(e.data))) nodes.set(id, n);
  draw();
});
events.addEventListener("node", (e) => {
  const n = JSON.parse(e.data);
  nodes.set(n.id, n);
  draw();
});
events.addEventListener("removed", (e) => {
  nodes.delete(JSON.parse(e.data).id);
  draw();
});
events.addEventListener("error", () => { summary.textContent = "The launcher does not answer; trying again…"; });

document.getElementById("add").addEventListener("submit", (e) => {
  e.preventDefault();
  const field = document.getElementById("node-id");
  call("/api/control/add", { headers: { "Content-Type": "application/json" }, body: JSON.stringify({ node_id: field.value }) });
  field.value = "";
});
