// The page: a file goes to the server, its state comes back, then the result is shown.
import { Viewer } from "./viewer.js";

const at = (id) => document.getElementById(id);
const PERIOD_MS = 400;
let job = null;
let sending = null;
let leaving = null;
let viewer = null;

async function asked(path, options = {}) {
  const response = await fetch(path, options);
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.detail ?? `the server answered ${response.status}`);
  return answer;
}

function show(section) {
  for (const id of ["drop", "status", "result"]) at(id).hidden = id !== section;
}

function say(text, { error = false, fraction = null } = {}) {
  show("status");
  at("message").textContent = text;
  at("status").classList.toggle("error", error);
  at("bar").hidden = error;
  if (fraction === null) at("bar").removeAttribute("value");
  else at("bar").value = fraction;
  at("cancel").textContent = error ? "Back" : "Cancel";
}

async function send(file, name) {
  closeCamera();
  sending?.abort();
  const { signal } = sending = new AbortController();
  const id = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  job = { id }; // chosen here, so that it can be cancelled before the server has answered
  say(`Sending ${name} ...`);
  try {
    await leaving;
    await asked(`jobs?id=${id}&name=${encodeURIComponent(name)}`, { method: "POST", body: file, signal });
    await follow();
  } catch (error) {
    if (!signal.aborted) say(error.message, { error: true });
  }
}

async function follow() {
  const id = job?.id;
  while (job?.id === id && id) {
    const state = await asked(`jobs/${id}`);
    if (job?.id !== id) return;
    if (state.state === "done") return finish(state);
    if (state.state === "failed") return say(state.message, { error: true });
    const waiting = state.state === "waiting" ? `Waiting: ${state.ahead} before you` : state.message;
    say(waiting, { fraction: state.fraction });
    await new Promise((done) => setTimeout(done, PERIOD_MS));
  }
}

async function finish(state) {
  show("result");
  const link = (name) => `jobs/${state.id}/files/${encodeURIComponent(name)}`;
  at("overlay").hidden = !state.overlay;
  if (state.overlay) {
    const shown = document.createElement(state.overlay.endsWith(".mp4") ? "video" : "img");
    Object.assign(shown, { src: link(state.overlay), alt: "The bodies on the picture", controls: true, loop: true, muted: true });
    at("overlay").replaceChildren(shown);
  }
  at("downloads").replaceChildren(...state.files.map((name) => {
    const a = document.createElement("a");
    Object.assign(a, { href: link(name), download: name, textContent: name });
    return a;
  }));
  at("notes").replaceChildren(...state.notes.map((note) => Object.assign(document.createElement("li"), { textContent: note })));
  at("numbers").replaceChildren(table(state.people));
  viewer?.close();
  viewer = new Viewer(at, link(state.scene), state.picture && link(state.picture), state.people);
  await viewer.ready;
  document.body.dataset.ready = state.id;
}

function table(people) {
  const element = document.createElement("table");
  const row = (kind, cells) => {
    const line = element.insertRow();
    for (const cell of cells) line.append(Object.assign(document.createElement(kind), { textContent: cell }));
  };
  if (!people.length) return Object.assign(document.createElement("p"), { textContent: "Nobody was found." });
  row("th", ["person", "score", "distance", "expected error of a joint"]);
  for (const person of people) {
    const error = person.error_mm === null ? "not estimated in videos" : `${person.error_mm.toFixed(0)} mm`;
    row("td", [person.name, person.score.toFixed(2), `${person.distance_m.toFixed(1)} m`, error]);
  }
  return element;
}

// A file dropped, chosen, or from the webcam.
const drop = at("drop");
for (const kind of ["dragover", "dragenter"]) drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file) send(file, file.name);
});
at("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) send(file, file.name);
  event.target.value = "";
});

let stream = null;
let recorder = null;
function closeCamera() {
  recorder?.state === "recording" && recorder.stop();
  stream?.getTracks().forEach((track) => track.stop());
  stream = recorder = null;
  at("camera").hidden = true;
  at("record").textContent = "Record";
}
at("webcam").addEventListener("click", async () => {
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 } } });
  } catch (error) {
    return say(`The browser gives no webcam: ${error.message}`, { error: true });
  }
  at("preview").srcObject = stream;
  await at("preview").play();
  at("camera").hidden = false;
});
at("shoot").addEventListener("click", () => {
  const [video, canvas] = [at("preview"), document.createElement("canvas")];
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob((blob) => send(blob, "webcam.jpg"), "image/jpeg", 0.92);
});
at("record").addEventListener("click", () => {
  if (recorder?.state === "recording") return recorder.stop();
  const parts = [];
  recorder = new MediaRecorder(stream);
  recorder.ondataavailable = (event) => parts.push(event.data);
  recorder.onstop = () => stream && send(new Blob(parts, { type: recorder.mimeType }), "webcam.webm");
  recorder.start();
  at("record").textContent = "Stop";
});
at("close").addEventListener("click", closeCamera);

async function leave() {
  const old = job;
  job = null;
  sending?.abort();
  show("drop");
  viewer?.close();
  viewer = null;
  delete document.body.dataset.ready;
  if (old) await (leaving = fetch(`jobs/${old.id}`, { method: "DELETE" }).catch(() => {}));
}
at("cancel").addEventListener("click", leave);
at("again").addEventListener("click", leave);

const about = await asked("about");
at("limits").textContent = about.limits;
if (about.job) {
  job = { id: about.job };
  drop.hidden = true;
  at("again").hidden = about.only;
  await follow().catch((error) => say(error.message, { error: true }));
}
