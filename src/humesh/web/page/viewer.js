// Bodies in 3D from a GLB of humesh, before the picture they were recovered from; seen first through its camera.
import * as THREE from "three";
import { GLTFLoader } from "../three/examples/jsm/loaders/GLTFLoader.js";
import { OrbitControls } from "../three/examples/jsm/controls/OrbitControls.js";

const BEHIND_M = 0.5; // the picture stands so far behind the farthest person
const STEP = Math.PI / 36;
const KEYS = {
  ArrowLeft: [-1, 0, 1], ArrowRight: [1, 0, 1], ArrowUp: [0, -1, 1], ArrowDown: [0, 1, 1],
  "+": [0, 0, 0.9], "=": [0, 0, 0.9], "-": [0, 0, 1 / 0.9],
};

export class Viewer {
  constructor(at, scene, picture, people) {
    this.at = at;
    this.canvas = at("canvas");
    this.people = people;
    this.renderer = new THREE.WebGLRenderer({ canvas: this.canvas, antialias: true });
    this.scene = new THREE.Scene();
    this.scene.background = new THREE.Color(0xe8e8ea);
    this.scene.add(new THREE.HemisphereLight(0xffffff, 0x777788, 2.2));
    const lamp = new THREE.DirectionalLight(0xffffff, 1.6);
    lamp.position.set(2, 4, 3);
    this.scene.add(lamp);
    this.camera = new THREE.PerspectiveCamera(50, 4 / 3, 0.05, 500);
    this.controls = new OrbitControls(this.camera, this.canvas);
    this.listeners = new AbortController();
    this.timer = new THREE.Timer();
    this.ready = this.load(scene, picture);
  }

  async load(scene, picture) {
    const gltf = await new GLTFLoader().loadAsync(scene);
    this.root = gltf.scene;
    this.scene.add(this.root);
    this.root.updateMatrixWorld(true);
    this.root.traverse((node) => { node.frustumCulled = false; });
    this.shot = gltf.cameras[0];
    this.bones = new Map(this.people.map((person) => [person.name, this.pelvis(person.name)]));
    const distances = [...this.bones.values()].filter(Boolean).map((bone) => -bone.getWorldPosition(new THREE.Vector3()).z);
    this.middle_m = distances.length ? distances.sort((a, b) => a - b)[Math.floor(distances.length / 2)] : 3;
    if (picture) await this.hang(picture, Math.max(3, ...distances) + BEHIND_M);
    if (gltf.animations.length) {
      this.mixer = new THREE.AnimationMixer(this.root);
      this.mixer.clipAction(gltf.animations[0]).play();
      this.seconds = Math.max(gltf.animations[0].duration, 1e-3);
      this.mixer.setTime(0);
    }
    this.panel();
    this.home();
    this.renderer.setAnimationLoop(() => this.draw());
  }

  pelvis(name) {
    const person = this.root.getObjectByName(name);
    let bone = null;
    person?.traverse((node) => { bone ??= node.isBone ? node : null; });
    if (bone) return bone;
    this.root.traverse((node) => { if (!bone && node.isBone && node.name.startsWith(`${name}_`)) bone = node; });
    return bone;
  }

  // The picture as a wall across the camera's view: behind everybody, and where it is seen.
  async hang(picture, away) {
    let texture;
    if (picture.endsWith(".mp4")) {
      this.video = Object.assign(document.createElement("video"), { src: picture, muted: true, playsInline: true });
      await new Promise((done, failed) => { this.video.oncanplay = done; this.video.onerror = failed; }).catch(() => { this.video = null; });
      if (!this.video) return;
      texture = new THREE.VideoTexture(this.video);
    } else {
      texture = await new THREE.TextureLoader().loadAsync(picture);
    }
    texture.colorSpace = THREE.SRGBColorSpace;
    const height = 2 * away * Math.tan(THREE.MathUtils.degToRad(this.shot.fov) / 2);
    const material = new THREE.MeshBasicMaterial({ map: texture, side: THREE.DoubleSide, toneMapped: false });
    this.wall = new THREE.Mesh(new THREE.PlaneGeometry(height * this.shot.aspect, height), material);
    this.wall.position.set(0, 0, -away);
    this.scene.add(this.wall);
  }

  panel() {
    const { at, listeners: { signal } } = this;
    at("play").hidden = at("time").hidden = !this.mixer;
    at("follow").replaceChildren(new Option("nobody", ""), ...this.people.map((person) => new Option(person.name, person.name)));
    at("time").max = this.seconds ?? 1;
    at("time").value = 0;
    at("picture").checked = true;
    at("picture").addEventListener("change", () => { if (this.wall) this.wall.visible = at("picture").checked; }, { signal });
    at("home").addEventListener("click", () => this.home(), { signal });
    at("play").addEventListener("click", () => this.play(!this.playing), { signal });
    this.canvas.addEventListener("keydown", (event) => this.turn(event), { signal });
    at("time").addEventListener("input", () => { this.play(false); this.seek(Number(at("time").value)); }, { signal });
    this.play(Boolean(this.mixer));
  }

  // The keyboard's way around: arrows turn, + and - zoom.
  turn(event) {
    const [left, up, away] = KEYS[event.key] ?? [];
    if (left === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const place = new THREE.Spherical().setFromVector3(this.camera.position.clone().sub(this.controls.target));
    place.theta += left * STEP;
    place.phi += up * STEP;
    place.radius *= away;
    this.camera.position.setFromSpherical(place.makeSafe()).add(this.controls.target);
  }

  play(on) {
    this.playing = on;
    this.at("play").textContent = on ? "Pause" : "Play";
    if (this.video) on ? this.video.play().catch(() => {}) : this.video.pause();
  }

  seek(seconds) {
    this.mixer?.setTime(seconds);
    if (this.video && Math.abs(this.video.currentTime - seconds) > 0.15) this.video.currentTime = seconds;
  }

  // Where the picture was taken from.
  home() {
    this.camera.fov = this.shot.fov;
    this.camera.position.set(0, 0, 0);
    this.controls.target.set(0, 0, -this.middle_m);
    this.last = null;
    this.controls.update();
  }

  fit() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const ratio = Math.min(window.devicePixelRatio, 2);
    if (this.canvas.width !== Math.floor(width * ratio) || this.canvas.height !== Math.floor(height * ratio)) {
      this.renderer.setPixelRatio(ratio);
      this.renderer.setSize(width, height, false);
    }
    this.camera.aspect = width / height;
    // All of the picture is seen, also where the canvas is narrower than it.
    const half = Math.tan(THREE.MathUtils.degToRad(this.shot.fov) / 2);
    this.camera.fov = 2 * THREE.MathUtils.radToDeg(Math.atan(half * Math.max(1, this.shot.aspect / this.camera.aspect)));
    this.camera.updateProjectionMatrix();
  }

  draw() {
    this.timer.update();
    const passed = this.timer.getDelta();
    if (this.mixer && this.playing) {
      const now = (this.mixer.time + passed) % this.seconds;
      this.seek(this.video && !this.video.paused && this.video.currentTime < this.seconds ? this.video.currentTime : now);
      if (this.video?.ended) { this.video.currentTime = 0; this.play(true); }
      this.at("time").value = this.mixer.time;
    }
    const bone = this.bones.get(this.at("follow").value);
    if (bone) {
      const place = bone.getWorldPosition(new THREE.Vector3());
      if (this.last) {
        const way = place.clone().sub(this.last);
        this.camera.position.add(way);
        this.controls.target.add(way);
      } else this.controls.target.copy(place);
      this.last = place;
    } else this.last = null;
    this.fit();
    this.controls.update();
    this.renderer.render(this.scene, this.camera);
  }

  close() {
    this.listeners.abort();
    this.renderer.setAnimationLoop(null);
    this.video?.pause();
    this.timer.dispose();
    this.controls.dispose();
    this.renderer.dispose();
  }
}
