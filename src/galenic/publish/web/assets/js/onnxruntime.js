// The model in ONNX Runtime Web, on the processor (WebAssembly).

import * as ort from "../runtime/ort.js";

/** The one file that it has for every browser. */
export function variant() {
  return "ort-wasm-simd-threaded";
}

/**
 * @param {Uint8Array} bytes of the .onnx file
 * @returns {Promise<{threads, run(Float32Array): Promise<Float32Array>, runTensor(tensor): Promise<Float32Array>, close()}>}
 */
export async function open(bytes, { inputShape, threads = 1 }) {
  ort.env.wasm.numThreads = threads;
  const wasm = new URL("../runtime/ort-wasm-simd-threaded", import.meta.url).href;
  ort.env.wasm.wasmPaths = { mjs: `${wasm}.js`, wasm: `${wasm}.wasm` };
  ort.env.logLevel = "error";
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"], logSeverityLevel: 3 });
  const [input] = session.inputNames, [output] = session.outputNames, shape = [1, ...inputShape];
  const run = async (values) => {
    const answers = await session.run({ [input]: new ort.Tensor("float32", values, shape) }, [output]);
    return answers[output].data;
  };
  return { threads, run, runTensor: async (tensor) => run(await tensor.data()), close: () => session.release() };
}
