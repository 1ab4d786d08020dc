// The board's script: live updates and keys. Without it every page works, only not live.
"use strict";

const IDLE_MS = 10000; // after this long without a hand on it, the list may move
const REFRESH_MS = 20000; // times and due groups change without anything happening
const SAID_MS = 9000;
const SURE_MS = 700; // a second press this soon was meant for the study before, not for the one the focus went on to
const FIRST = 60; // rows that a board begins with
const PAGE = 200; // rows that are added as they are needed

const $ = (id) => document.getElementById(id);
const body = document.body;
const list = $("list");
const main = $("content");
const state = {
  q: $("q") ? $("q").value : "",
  compare: Boolean(list && list.classList.contains("comparing")),
  pending: null, // a newer list that waits until the hand is off this one
  heardAt: performance.now(),
  listAt: new Date(),
  lost: "", // why the list may be out of date, in words
  troubles: null,
  lastInput: -Infinity,
  lastUid: "",
  lastIndex: -1, // where the focused study stood that has left the list; j and k go on from there
  refusal: { text: "", at: -Infinity }, // the last thing that was refused
  moved: { uid: "", at: -Infinity }, // the study to which the focus went by itself
  read: [], // what was read here and may be undone, the latest last: lists of UIDs
  running: null, // the fetching under way
  again: false,
  force: false,
};

// -- saying ------------------------------------------------------------------------------------------------------

let saidTimer = 0;

function say(text, { refused = false, undo = null } = {}) {
  const said = $("said");
  said.textContent = text;
  said.classList.toggle("refused", refused);
  if (refused) state.refusal = { text, at: performance.now() };
  if (undo) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Undo (u)";
    button.addEventListener("click", () => takeBack(undo));
    said.append(" ", button);
  }
  clearTimeout(saidTimer);
  saidTimer = setTimeout(() => (said.textContent = ""), refused ? 2 * SAID_MS : SAID_MS);
}

function ago(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  return s < 60 ? `${s} s ago` : `${Math.floor(s / 60)} min ago`;
}

function showTrust() {
  const silentMs = performance.now() - state.heardAt;
  const updated = document.querySelector("[data-trust=updated]");
  if (updated) updated.textContent = ago(silentMs);
  const stale = silentMs > 1000 * Number(body.dataset.staleS);
  const at = state.listAt.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  if (state.lost) showBanner([`${state.lost} The list is as it was at ${at}.`]);
  else if (stale) showBanner([`Connection lost: nothing heard for ${ago(silentMs).replace(" ago", "")}. The list is as it was at ${at}.`]);
  else if (state.troubles) showBanner(state.troubles);
}

function showBanner(lines) {
  const banner = $("banner");
  const shown = [...banner.querySelectorAll("p:not(.kept)")];
  const isSame = shown.length === lines.length && shown.every((p, i) => p.dataset.key === lines[i].replace(/\d+ (s|min)/, ""));
  if (isSame) {
    shown.forEach((p, i) => { if (p.textContent !== lines[i]) p.textContent = lines[i]; });
  } else {
    shown.forEach((p) => p.remove());
    for (const line of lines) {
      const p = document.createElement("p");
      p.textContent = line;
      p.dataset.key = line.replace(/\d+ (s|min)/, "");
      banner.append(p);
    }
  }
  banner.hidden = !banner.querySelector("p");
}

function heard(status) {
  state.heardAt = performance.now();
  if (!state.lost) state.listAt = new Date();
  for (const name of ["received", "result", "queue"]) {
    const place = document.querySelector(`[data-trust=${name}]`);
    if (place) place.textContent = status[name];
  }
  for (const [name, n] of Object.entries(status.counts)) {
    const place = document.querySelector(`[data-count=${name}]`);
    if (place) place.textContent = n;
  }
  hearChanged(status.changed);
  const kept = $("banner").querySelector(".kept");
  const isTyping = document.activeElement && document.activeElement.matches("input, select, textarea");
  if (list && Boolean(kept) !== status.switched && !held() && !isTyping) location.reload();
  state.troubles = status.troubles;
  showTrust();
}

// -- the list: fetched, compared, applied -------------------------------------------------------------------------

const rowsOf = (root) => [...root.querySelectorAll("tr.row")];
const byUid = (root) => new Map(rowsOf(root).map((row) => [row.dataset.uid, row]));
const words = (row) => [...row.querySelectorAll("td:not(.c-rank, .c-time, .c-who, .c-select, .c-other)")].map((td) => td.textContent.trim()).join("|");

async function fetchRows(show) {
  const query = new URLSearchParams({ show });
  if (state.q) query.set("q", state.q);
  if (state.compare) query.set("compare", "1");
  const response = await fetch(`/rows?${query}`, { headers: { Accept: "text/html" } });
  if (response.redirected) throw new Error("The session is over: reload this page to log in again.");
  if (!response.ok) throw new Error("The list could not be refreshed.");
  const template = document.createElement("template");
  template.innerHTML = await response.text();
  return template.content;
}

/** Fetch the list. Whoever asks while it is being fetched waits until it has been fetched once more. */
function refresh({ force = false } = {}) {
  if (!list) return Promise.resolve();
  state.again = true;
  state.force = state.force || force;
  state.running = state.running || fetchWhileAsked().finally(() => (state.running = null));
  return state.running;
}

async function fetchWhileAsked() {
  while (state.again) {
    state.again = false;
    const force = state.force;
    state.force = false;
    try {
      const fresh = await fetchRows(Math.max(FIRST, rowsOf(list).filter((row) => !row.classList.contains("gone")).length));
      state.lost = "";
      state.listAt = new Date();
      receive(fresh, force);
    } catch (error) {
      state.lost = error instanceof TypeError ? "Connection lost." : error.message;
    }
    showTrust();
  }
}

function receive(fresh, force) {
  announceUrgent(fresh);
  if (force || !held()) { apply(fresh); return; }
  patch(fresh);
  const n = changes(fresh);
  state.pending = n ? fresh : null;
  showChanges(n);
}

function showChanges(n) {
  const button = $("changes");
  button.hidden = n === 0;
  button.textContent = n === 1 ? "1 change – show" : `${n} changes – show`;
}

function held() {
  if (document.querySelector("dialog[open]")) return true;
  const isInList = list && (list.matches(":hover") || list.contains(document.activeElement));
  return Boolean(isInList) && performance.now() - state.lastInput < IDLE_MS;
}

/** How many studies are new, gone, elsewhere, or say something else. One that moved does not count those it passed. */
function changes(fresh) {
  const now = byUid(list), next = byUid(fresh), changed = new Set();
  for (const uid of left(fresh).keys()) if (!now.get(uid).dataset.mine) changed.add(uid);
  for (const [uid, row] of next) if (!now.has(uid) || words(now.get(uid)) !== words(row)) changed.add(uid);
  const old = new Map([...now.keys()].filter((uid) => next.has(uid)).map((uid, i) => [uid, i]));
  const order = [...next.keys()].filter((uid) => old.has(uid));
  const stay = increasing(order.map((uid) => old.get(uid)));
  order.forEach((uid, i) => { if (!stay.has(i)) changed.add(uid); });
  const goneByMe = [...now.values()].some((row) => row.dataset.mine && !next.has(row.dataset.uid));
  return changed.size || (goneByMe ? 1 : 0);
}

/** Indices of a longest increasing subsequence. */
function increasing(values) {
  const tails = [], before = new Array(values.length).fill(-1);
  values.forEach((value, i) => {
    let low = 0, high = tails.length;
    while (low < high) { const mid = (low + high) >> 1; if (values[tails[mid]] < value) low = mid + 1; else high = mid; }
    if (low > 0) before[i] = tails[low - 1];
    tails[low] = i;
  });
  const kept = new Set();
  for (let i = tails.length ? tails[tails.length - 1] : -1; i >= 0; i = before[i]) kept.add(i);
  return kept;
}

/** Rows that have left, with the word for it. What was only pushed below the part that was fetched has not. */
function left(fresh) {
  const now = rowsOf(list), known = byUid(list), next = byUid(fresh), table = fresh.querySelector("table");
  const isWhole = !table || table.dataset.shown === table.dataset.total;
  const pushed = [...next.keys()].filter((uid) => !known.has(uid)).length;
  const safe = isWhole ? now.length : next.size - pushed;
  const word = isWhole ? "no longer in the list" : "no longer near here";
  const out = new Map();
  now.forEach((row, i) => { if (!next.has(row.dataset.uid) && (i < safe || row.dataset.mine)) out.set(row.dataset.uid, row.dataset.mine || word); });
  return out;
}

/** What may change under the hand: who is reading, and the times. The rows keep still. */
function patch(fresh) {
  const next = byUid(fresh), out = left(fresh);
  for (const row of rowsOf(list)) {
    const newer = next.get(row.dataset.uid);
    row.classList.toggle("gone", out.has(row.dataset.uid));
    if (out.has(row.dataset.uid)) row.querySelector(".holder").textContent = out.get(row.dataset.uid);
    if (!newer) continue;
    for (const name of ["taken", "mine"]) row.classList.toggle(name, newer.classList.contains(name));
    for (const cell of [".c-time", ".c-who"]) swap(row.querySelector(cell), newer.querySelector(cell));
  }
}

function swap(cell, newer) {
  if (cell.innerHTML === newer.innerHTML) return;
  const key = cell.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  cell.replaceChildren(...newer.cloneNode(true).childNodes);
  if (key) (cell.querySelector(`[data-key="${key}"]`) || cell.closest("tr").querySelector(".primary")).focus({ preventScroll: true });
}

function apply(fresh) {
  const active = list.contains(document.activeElement) ? document.activeElement : null;
  const row = active && active.closest("tr.row");
  const at = row && { uid: row.dataset.uid, key: active.dataset.key, top: row.getBoundingClientRect().top, index: rowsOf(list).filter((other) => other === row || !other.classList.contains("gone")).indexOf(row) };
  const checked = new Set([...list.querySelectorAll("input:checked")].map((box) => box.value));
  const isGone = row && !byUid(fresh).has(at.uid);
  const name = row && row.querySelector(".primary").textContent;
  const word = isGone && (left(fresh).get(at.uid) || "no longer near here");
  list.replaceChildren(fresh);
  state.pending = null;
  showChanges(0);
  for (const box of list.querySelectorAll("input[type=checkbox]")) box.checked = checked.has(box.value);
  if (isGone) {
    // The focus names a study, not a position: it never goes to another patient unasked.
    state.lastIndex = at.index;
    list.focus({ preventScroll: true });
    if (!row.dataset.mine) sayGone(at.uid, name, word);
  } else if (at) {
    const again = byUid(list).get(at.uid);
    ((at.key && again.querySelector(`[data-key="${at.key}"]`)) || again.querySelector(".primary")).focus({ preventScroll: true });
    main.scrollTop += again.getBoundingClientRect().top - at.top; // the study stays under the eye
  }
  watchMore();
}

/** Say that the study with the focus has left the list, and why. */
async function sayGone(uid, name, word) {
  let why = "";
  try {
    const response = await fetch(`/api/studies/${uid}`);
    const { study } = response.ok ? await response.json() : { study: {} };
    if (study.state === "withdrawn") why = `: withdrawn, ${study.reason}`;
    else if (study.reading === "read") why = `: read by ${study.reader}`;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // without a connection the banner says so
  }
  say(`${name} is ${word}${why}.`, { refused: true });
}

async function more() {
  const link = $("more");
  if (!link || link.dataset.loading) return;
  link.dataset.loading = "1";
  try {
    const count = rowsOf(list).length;
    const fresh = await fetchRows(count + PAGE);
    const known = byUid(list);
    for (const part of fresh.querySelectorAll("tbody")) {
      const added = rowsOf(part).filter((row) => !known.has(row.dataset.uid));
      if (!added.length) continue;
      const same = list.querySelector(`tbody[data-group="${part.dataset.group}"]`);
      if (same) same.append(...added);
      else { const copy = part.cloneNode(false); copy.append(part.querySelector(".separator"), ...added); list.querySelector("table").append(copy); }
    }
    const next = fresh.querySelector(".more");
    if (next) link.closest(".more").replaceWith(next); else link.closest(".more").remove();
  } catch (error) {
    delete link.dataset.loading;
    say("Further studies could not be fetched.", { refused: true });
  }
  watchMore();
}

const watcher = new IntersectionObserver((seen) => { if (seen.some((s) => s.isIntersecting)) more(); }, { root: main, rootMargin: "600px" });

function watchMore() {
  watcher.disconnect();
  if ($("more")) watcher.observe($("more"));
}

// -- new urgent work is announced ----------------------------------------------------------------------------------

const urgentIn = (root) => rowsOf(root).filter((row) => row.querySelector(".c-rank .up") || row.closest("tbody").dataset.group === "STAT");
const known = new Set();
let sound = null;

function announceUrgent(fresh) {
  const fresher = urgentIn(fresh).filter((row) => !known.has(row.dataset.uid));
  fresher.forEach((row) => known.add(row.dataset.uid));
  if (!fresher.length || state.q) return;
  const first = fresher[0];
  const rank = first.querySelector(".c-rank b").textContent;
  const many = fresher.length > 1 ? `${fresher.length} new urgent studies, the first` : "New urgent study";
  $("live").textContent = `${many} at rank ${rank}: ${first.querySelector(".primary").textContent}`;
  alarm(`${many} at rank ${rank}`);
}

/** A new result of a study that was read already: nobody looks there any more, so it is said. */
function hearChanged({ count, at, words: text }) {
  document.querySelector("[data-count=changed]").textContent = count;
  $("changed-since-read").hidden = count === 0;
  if (at <= body.dataset.changedAt) return;
  body.dataset.changedAt = at;
  say(`${text}.`, { refused: true });
  alarm(text.split(":")[0]); // a notification outside this page names nobody
}

function alarm(text) {
  if (localStorage.getItem("notify") !== "on") return;
  beep();
  if ("Notification" in window && Notification.permission === "granted") new Notification("triaged", { body: text });
}

function beep() {
  sound = sound || new AudioContext();
  const tone = sound.createOscillator(), volume = sound.createGain();
  tone.frequency.value = 520;
  volume.gain.setValueAtTime(0.08, sound.currentTime);
  volume.gain.exponentialRampToValueAtTime(0.001, sound.currentTime + 0.35);
  tone.connect(volume).connect(sound.destination);
  tone.start();
  tone.stop(sound.currentTime + 0.35);
}

function showNotify() {
  const on = localStorage.getItem("notify") === "on";
  $("notify").setAttribute("aria-pressed", String(on));
  $("notify").textContent = on ? "Sound on" : "Sound off";
}

// -- doing something to a study ------------------------------------------------------------------------------------

async function post(address, fields) {
  const response = await fetch(address, { method: "POST", headers: { Accept: "application/json" }, body: new URLSearchParams(fields) });
  const answer = await response.json().catch(() => ({}));
  return { ok: response.ok, answer, text: response.ok ? answer.done : answer.detail || "This could not be done." };
}

async function act(address, fields = []) {
  if (!body.dataset.reader && !(await askName())) return false;
  try {
    const { ok, answer, text } = await post(address, fields);
    const read = ok && address.endsWith("/read") ? answer.read : [];
    if (read.length) state.read.push(read);
    if (address !== "/read") read.forEach(leave);
    const answered = performance.now();
    await refresh(); // first, so that what is said is also what the row shows
    // What was refused meanwhile must not go unread: a reader would take it for done.
    const meanwhile = state.refusal.at > answered ? ` ${state.refusal.text}` : "";
    say(text + meanwhile, { refused: !ok || Boolean(meanwhile), undo: read.length ? read : null });
    return ok;
  } catch (error) {
    say("The server cannot be reached: nothing was done.", { refused: true });
    return false;
  }
}

/** A study just read stays where it is, dimmed, until the list moves; the focus goes on to the next one. */
function leave(uid) {
  const row = byUid(list).get(uid);
  if (!row) return;
  row.dataset.mine = "read by you";
  if (row.contains(document.activeElement)) { row.classList.add("gone"); move(1); state.moved = { uid: state.lastUid, at: performance.now() }; }
  row.classList.add("gone");
}

/** Put back on the list what was read here: the last, or what a button stands for. */
async function takeBack(uids = state.read.at(-1)) {
  if (!uids) { say("Nothing that was read here is left to undo."); return; }
  state.read = state.read.filter((those) => those !== uids);
  try {
    const answers = [];
    for (const uid of uids) {
      const row = byUid(list).get(uid);
      if (row) delete row.dataset.mine;
      answers.push(await post(`/study/${uid}/unread`, []));
    }
    await refresh();
    const refused = answers.find(({ ok }) => !ok);
    say(refused ? refused.text : uids.length > 1 ? `${uids.length} studies are back on the list.` : answers[0].text, { refused: Boolean(refused) });
  } catch (error) {
    say("The server cannot be reached: what is back on the list is shown once it answers.", { refused: true });
  }
}

function askName() {
  const dialog = $("name");
  return new Promise((resolve) => {
    dialog.returnValue = "";
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "named"), { once: true });
    dialog.showModal();
  });
}

async function setName(form) {
  const { ok, text } = await post("/reader", new FormData(form));
  say(text, { refused: !ok });
  if (!ok) return;
  body.dataset.reader = new FormData(form).get("reader").trim();
  const who = document.querySelector(".who");
  who.innerHTML = "<span>Reading:</span> ";
  who.append(body.dataset.reader);
  $("name").close("named");
}

function askPin(link) {
  const row = link.closest("tr.row");
  $("pin-form").action = `/study/${row.dataset.uid}/pin`;
  document.querySelector(".dialog-study").textContent = `${row.querySelector(".primary").textContent} – ${row.querySelector(".c-study > span").textContent}`;
  $("pin-reason").value = "";
  $("pin").showModal();
}

function readSelected() {
  const boxes = [...list.querySelectorAll("tr:not(.gone) input:checked")];
  if (!boxes.length) { say("No study is selected."); return; }
  const names = boxes.map((box) => {
    const item = document.createElement("li");
    const row = box.closest("tr");
    item.textContent = `${row.querySelector(".primary").textContent} – ${row.querySelector(".c-study > span").textContent}`;
    return item;
  });
  const dialog = $("sure");
  $("sure-title").textContent = names.length === 1 ? "Mark this study as read?" : `Mark these ${names.length} studies as read?`;
  dialog.querySelector(".sure-list").replaceChildren(...names);
  dialog.returnValue = "no";
  dialog.addEventListener("close", async () => {
    if (dialog.returnValue !== "yes") return;
    const uids = boxes.map((box) => box.value);
    if (await act("/read", uids.map((uid) => ["study", uid]))) boxes.forEach((box) => (box.checked = false));
  }, { once: true });
  dialog.showModal();
}

// -- keys ----------------------------------------------------------------------------------------------------------

function currentRow() {
  const row = document.activeElement && document.activeElement.closest && document.activeElement.closest("tr.row");
  return row && list.contains(row) ? row : null;
}

function move(by) {
  const all = rowsOf(list);
  const rows = all.filter((row) => !row.classList.contains("gone") || row === currentRow());
  if (!rows.length) return;
  const at = rows.indexOf(currentRow() || byUid(list).get(state.lastUid));
  let to = at < 0 ? (by > 0 ? 0 : rows.length - 1) : at + by;
  if (at < 0 && state.lastIndex >= 0) to = state.lastIndex + Math.min(by, 0); // the study there has left: its neighbour
  if (currentRow() === null && at >= 0) to = at; // coming back from elsewhere: where one was
  if (to >= rows.length && $("more")) more();
  const row = rows[Math.max(0, Math.min(rows.length - 1, to))];
  row.querySelector(".primary").focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
  // The sticky head covers the first rows of the view.
  const covered = main.getBoundingClientRect().top + 40 - row.getBoundingClientRect().top;
  if (covered > 0) main.scrollTop -= covered;
}

function press(key) {
  const row = currentRow();
  if (key === "r" && row && row.dataset.uid === state.moved.uid && performance.now() - state.moved.at < SURE_MS) {
    say(`Pressed too soon: ${row.querySelector(".primary").textContent} was not marked as read.`, { refused: true });
    return;
  }
  if (!row) { say("No study is chosen: j and k move."); return; }
  const target = row.querySelector(`.actions [data-key="${key}"]`);
  if (target && !row.classList.contains("gone")) { target.click(); return; }
  const why = { c: "You hold this study already.", x: "You do not hold this study." };
  say(row.classList.contains("gone") ? "This study is no longer in the list." : why[key] || "");
}

const KEYS = {
  j: () => move(1), ArrowDown: () => move(1), k: () => move(-1), ArrowUp: () => move(-1),
  c: () => press("c"), x: () => press("x"), r: () => press("r"), p: () => press("p"), d: () => press("d"),
  "/": () => { $("q").focus(); $("q").select(); },
  b: () => $("compare").click(),
  s: () => { if (!$("changes").hidden) $("changes").click(); },
  u: () => takeBack(),
  "?": () => $("help").showModal(),
  Escape: () => document.activeElement && document.activeElement.blur(),
};

const MOVES = new Set(["j", "k", "ArrowDown", "ArrowUp"]);

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
  const isTyping = event.target.matches("input:not([type=checkbox]), select, textarea");
  if (isTyping && event.key !== "Escape") return;
  const does = KEYS[event.key];
  if (!does) return;
  event.preventDefault();
  // A key that is held down moves on and on, but acts once: it must not read twenty studies.
  if (event.repeat && !MOVES.has(event.key)) return;
  does();
}

// -- wiring --------------------------------------------------------------------------------------------------------

let searchTimer = 0;

function search(after) {
  clearTimeout(searchTimer);
  state.q = $("q").value.trim();
  state.lastIndex = -1;
  refresh({ force: true }).then(after);
}

function toggleCompare(event) {
  event.preventDefault();
  const link = $("compare");
  state.compare = !state.compare;
  list.classList.toggle("comparing", state.compare);
  link.firstChild.textContent = link.firstChild.textContent.replace(/^(Show|Hide)/, state.compare ? "Hide" : "Show");
  if (state.compare) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current");
  refresh({ force: true });
}

function onSubmit(event) {
  const form = event.target;
  if (form.id === "act") { event.preventDefault(); act(event.submitter.getAttribute("formaction")); }
  else if (form.id === "bulk") { event.preventDefault(); readSelected(); }
  else if (form.id === "pin-form") { event.preventDefault(); const fields = new FormData(form); $("pin").close(); act(form.getAttribute("action"), fields); }
  else if (form.closest("#name")) { event.preventDefault(); setName(form); }
  else if (form.matches(".search")) { event.preventDefault(); search(() => move(1)); }
}

function wireBoard() {
  for (const row of urgentIn(list)) known.add(row.dataset.uid);
  document.addEventListener("keydown", onKey);
  document.addEventListener("submit", onSubmit);
  document.addEventListener("click", (event) => {
    const pin = event.target.closest("[data-ask=pin]");
    if (pin) { event.preventDefault(); askPin(pin); }
    const close = event.target.closest("[data-close]");
    if (close) close.closest("dialog").close("");
  });
  for (const kind of ["pointermove", "pointerdown", "keydown", "wheel"]) {
    document.addEventListener(kind, () => (state.lastInput = performance.now()), { passive: true });
  }
  list.addEventListener("focusin", () => { const row = currentRow(); if (row) { state.lastUid = row.dataset.uid; state.lastIndex = -1; } });
  $("q").addEventListener("input", () => { clearTimeout(searchTimer); searchTimer = setTimeout(search, 200); });
  $("compare").addEventListener("click", toggleCompare);
  $("changes").addEventListener("click", () => { if (state.pending) apply(state.pending); });
  $("help-open").hidden = $("notify").hidden = false;
  $("help-open").addEventListener("click", () => $("help").showModal());
  $("notify").addEventListener("click", () => {
    const on = localStorage.getItem("notify") === "on";
    localStorage.setItem("notify", on ? "off" : "on");
    if (!on) { beep(); if ("Notification" in window) Notification.requestPermission(); }
    showNotify();
  });
  showNotify();
  watchMore();
  setInterval(() => refresh(), REFRESH_MS);
  setInterval(() => { if (state.pending && !held()) apply(state.pending); }, 500);
}

async function checkStudy() {
  const study = $("study");
  if (!study) return;
  const response = await fetch(location.pathname, { headers: { Accept: "text/html" } });
  const page = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("study");
  if (page && page.dataset.version !== study.dataset.version) $("stale-study").hidden = false;
}

function listen() {
  const source = new EventSource("/api/events");
  source.addEventListener("status", (event) => heard(JSON.parse(event.data)));
  source.addEventListener("board", () => { refresh(); checkStudy(); });
  source.addEventListener("open", () => refresh());
  setInterval(showTrust, 1000);
}

if (list) wireBoard();
listen();
