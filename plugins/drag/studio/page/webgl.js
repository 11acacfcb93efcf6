// lays the layers of a preview with WebGL 2: a plate, then each layer read through its field

const CORNERS = `#version 300 es
out vec2 at;
void main() {
  vec2 corner = vec2(float(gl_VertexID & 1), float(gl_VertexID >> 1));
  at = vec2(corner.x, 1.0 - corner.y);
  gl_Position = vec4(corner * 2.0 - 1.0, 0.0, 1.0);
}`;
const PLATE = `#version 300 es
precision highp float;
in vec2 at; out vec4 colour; uniform sampler2D plate;
void main() { vec4 seen = texture(plate, at); colour = vec4(seen.rgb * seen.a, seen.a); }`;
const LAYER = `#version 300 es
precision highp float;
in vec2 at; out vec4 colour;
uniform sampler2D picture, alpha, field; uniform float sharper;
void main() {
  vec2 from = at + texture(field, at).xy;
  float shown = texture(alpha, from).r * texture(picture, at).a;
  shown = clamp((shown - 0.5) * sharper + 0.5, 0.0, 1.0);
  colour = vec4(texture(picture, from).rgb * shown, shown);
}`;

export class WebGl {
  /** @throws where there is no WebGL 2 that is faster than the canvas. */
  constructor() {
    this.canvas = document.createElement("canvas");
    const gl = this.canvas.getContext("webgl2", { alpha: true, antialias: false, premultipliedAlpha: true, failIfMajorPerformanceCaveat: true,
      preserveDrawingBuffer: true });
    if (!gl) throw new Error("no WebGL 2");
    this.gl = gl;
    this.plate = this.#program(PLATE);
    this.layer = this.#program(LAYER);
    this.textures = new Map();
    this.canvas.addEventListener("webglcontextlost", () => { this.isLost = true; });
  }

  get name() { return "WebGL 2"; }

  /** Take a cut: {width, height, texture, plate, alphas: [bytes], sharper}. */
  cut(cut) {
    const { gl } = this, { width, height } = cut;
    Object.assign(this.canvas, { width, height });
    this.sharper = cut.sharper;
    this.#fill("picture", gl.RGBA8, width, height, gl.RGBA, gl.UNSIGNED_BYTE, cut.texture);
    this.#fill("plate", gl.RGBA8, width, height, gl.RGBA, gl.UNSIGNED_BYTE, cut.plate);
    cut.alphas.forEach((alpha, i) => this.#fill(`alpha${i}`, gl.R8, width, height, gl.RED, gl.UNSIGNED_BYTE, alpha));
    this.layers = cut.alphas.length;
  }

  draw(fields) {
    const { gl } = this;
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.disable(gl.BLEND);
    this.#use(this.plate, { plate: "plate" });
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    for (let i = 0; i < Math.min(this.layers, fields.length); i += 1) {
      const { rows, columns, data } = fields[i];
      this.#fill("field", gl.RG16F, columns, rows, gl.RG, gl.FLOAT, data);
      this.#use(this.layer, { picture: "picture", alpha: `alpha${i}`, field: "field" });
    }
  }

  #use(program, samplers) {
    const { gl } = this;
    gl.useProgram(program);
    Object.entries(samplers).forEach(([uniform, name], unit) => {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_2D, this.textures.get(name));
      gl.uniform1i(gl.getUniformLocation(program, uniform), unit);
    });
    gl.uniform1f(gl.getUniformLocation(program, "sharper"), this.sharper);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }

  #fill(name, inside, width, height, format, type, data) {
    const { gl } = this;
    if (!this.textures.has(name)) this.textures.set(name, gl.createTexture());
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.textures.get(name));
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.texImage2D(gl.TEXTURE_2D, 0, inside, width, height, 0, format, type, data);
    for (const [key, value] of [["TEXTURE_MIN_FILTER", "LINEAR"], ["TEXTURE_MAG_FILTER", "LINEAR"], ["TEXTURE_WRAP_S", "CLAMP_TO_EDGE"],
      ["TEXTURE_WRAP_T", "CLAMP_TO_EDGE"]]) gl.texParameteri(gl.TEXTURE_2D, gl[key], gl[value]);
  }

  #program(fragment) {
    const { gl } = this, program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, CORNERS], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
    return program;
  }
}
