/** A canvas to draw on with finger, pen or mouse, or to lay a picture on. */

const LINE_WIDTH = 0.085; // of the shorter side, as a pen is in the usual handwriting sets
const DRAWING_SIDE = 280; // pixels of the longer side of what the model gets: not of the screen

/** Dispatches `change`, with `detail.finished` false while a stroke goes on. */
export class Paper extends EventTarget {
  #canvas;
  #ratio;
  #colours;
  #strokes = [];
  #picture = null;
  #pointer = null;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {{width: number, height: number}} size of the model's input: gives the proportions
   * @param {{paper: string, ink: string} | null} colours as the training images have them; null
   *   takes pictures alone
   */
  constructor(canvas, size, colours) {
    super();
    this.#canvas = canvas;
    this.#ratio = size.width / size.height;
    this.#colours = colours;
    canvas.style.aspectRatio = this.#ratio;
    if (colours) this.#listen();
    new ResizeObserver(() => this.#fitToScreen()).observe(canvas);
  }

  get isEmpty() {
    return this.#picture === null && this.#strokes.length === 0;
  }

  get isDrawing() {
    return this.#picture === null;
  }

  /** @returns {ImageData} the picture, or the drawing at a size that no screen decides */
  read() {
    const canvas = document.createElement("canvas");
    const picture = this.#picture;
    canvas.width = picture?.width ?? Math.round(DRAWING_SIDE * Math.min(1, this.#ratio));
    canvas.height = picture?.height ?? Math.round(DRAWING_SIDE / Math.max(1, this.#ratio));
    const context = canvas.getContext("2d", { willReadFrequently: true });
    if (picture) context.drawImage(picture, 0, 0);
    else this.#paintDrawing(context);
    return context.getImageData(0, 0, canvas.width, canvas.height);
  }

  /** Lays a picture on the paper, instead of what is there. */
  show(picture) {
    this.#strokes = [];
    this.#picture = picture;
    this.#changed(true);
  }

  undo() {
    if (this.#pointer !== null) return;
    if (this.#picture) this.#picture = null;
    else this.#strokes.pop();
    this.#changed(true);
  }

  clear() {
    if (this.#pointer !== null) return;
    this.#picture = null;
    this.#strokes = [];
    this.#changed(true);
  }

  #listen() {
    this.#canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    this.#canvas.addEventListener("pointermove", (event) => this.#extend(event));
    for (const end of ["pointerup", "pointercancel"]) {
      this.#canvas.addEventListener(end, (event) => this.#end(event));
    }
  }

  #begin(event) {
    if (this.#pointer !== null || event.button !== 0) return;
    this.#pointer = event.pointerId;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#picture = null;
    this.#strokes.push([this.#place(event)]);
    this.#changed(false);
  }

  #extend(event) {
    if (event.pointerId !== this.#pointer) return;
    const passed = event.getCoalescedEvents?.() ?? [];
    const events = passed.length ? passed : [event];
    this.#strokes.at(-1)?.push(...events.map((each) => this.#place(each)));
    this.#changed(false);
  }

  #end(event) {
    if (event.pointerId !== this.#pointer) return;
    this.#pointer = null;
    this.#changed(true);
  }

  /** Where a pointer is: 0..1 of the width and of the height. */
  #place(event) {
    const box = this.#canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  #changed(finished) {
    this.#paint();
    this.dispatchEvent(new CustomEvent("change", { detail: { finished } }));
  }

  #fitToScreen() {
    const { clientWidth, clientHeight } = this.#canvas;
    this.#canvas.width = Math.round(clientWidth * devicePixelRatio);
    this.#canvas.height = Math.round(clientHeight * devicePixelRatio);
    this.#paint();
  }

  #paint() {
    const context = this.#canvas.getContext("2d");
    if (this.#picture) this.#paintPicture(context);
    else this.#paintDrawing(context);
  }

  #paintPicture(context) {
    const { width, height } = context.canvas;
    const picture = this.#picture;
    const scale = Math.min(width / picture.width, height / picture.height);
    const size = [picture.width * scale, picture.height * scale];
    context.imageSmoothingEnabled = scale < 1;
    context.clearRect(0, 0, width, height);
    context.drawImage(picture, (width - size[0]) / 2, (height - size[1]) / 2, ...size);
  }

  #paintDrawing(context) {
    const { width, height } = context.canvas;
    if (!this.#colours) return context.clearRect(0, 0, width, height);
    context.fillStyle = this.#colours.paper;
    context.fillRect(0, 0, width, height);
    context.strokeStyle = this.#colours.ink;
    context.lineWidth = LINE_WIDTH * Math.min(width, height);
    context.lineCap = context.lineJoin = "round";
    for (const stroke of this.#strokes) {
      paintStroke(context, stroke.map(([x, y]) => [x * width, y * height]));
    }
  }
}

/** Curves through the middles between points, so that fast strokes have no corners. */
function paintStroke(context, points) {
  const [start] = points;
  const end = points.at(-1);
  context.beginPath();
  context.moveTo(...start);
  for (let i = 1; i < points.length - 1; i++) {
    const [[x, y], [nextX, nextY]] = [points[i], points[i + 1]];
    context.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
  }
  context.lineTo(...end);
  context.stroke();
}
