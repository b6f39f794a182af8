// The model in LiteRT.js, on the processor (WebAssembly with XNNPACK).

import { loadAndCompile, loadLiteRt, Tensor } from "../runtime/litert.js";
import { hasRelaxedSimd } from "./features.js";
import { channelsLast } from "./inputs.js";

let loading;

/** The runtime's file for this browser and this many threads; the others are not downloaded. */
export function variant(threads) {
  if (!hasRelaxedSimd()) return "litert_wasm_compat_internal";
  return threads > 1 ? "litert_wasm_threaded_internal" : "litert_wasm_internal";
}

/**
 * Inputs are channels first, [1, ...inputShape], whatever the file takes: its shape says whether they have to be turned.
 * @param {Uint8Array} bytes of the .tflite file
 * @returns {Promise<{threads, run(Float32Array): Promise<Float32Array>, runTensor(tensor): Promise<Float32Array>, close()}>}
 */
export async function open(bytes, { inputShape, threads = 1 }) {
  const used = hasRelaxedSimd() ? threads : 1;
  const folder = new URL("../runtime/", import.meta.url).href;
  loading ??= loadLiteRt(folder, { threads: used > 1 });
  await loading;
  const model = await loadAndCompile(bytes, { accelerator: "wasm", cpuOptions: { numThreads: used } });
  const first = [1, ...inputShape], shape = Array.from(model.getInputDetails()[0].shape);
  const turned = shape.join() !== first.join();
  const run = async (values) => {
    const tensor = new Tensor(turned ? channelsLast(values, inputShape[0]) : values, shape);
    try {
      const answers = await model.run(tensor);
      const first = answers[0].toTypedArray();
      answers.forEach((answer) => answer.delete());
      return first;
    } finally {
      tensor.delete();
    }
  };
  return {
    threads: used,
    run,
    /** TensorFlow.js's tensor, through LiteRT.js's own interop where its TensorFlow.js is there as globalThis.tf. */
    async runTensor(tensor) {
      const { tf } = globalThis;
      if (!(tf?.Tensor && tensor instanceof tf.Tensor)) return run(await tensor.data());
      const { runWithTfjsTensors } = await import("../runtime/tfjs-interop.js");
      const whole = tf.tidy(() => {
        const asGiven = tf.reshape(tensor, first);
        return turned ? tf.transpose(asGiven, [0, 2, 3, 1]) : asGiven;
      });
      const answers = await runWithTfjsTensors(model, [whole]);
      const values = await answers[0].data();
      [whole, ...answers].forEach((one) => one.dispose());
      return values;
    },
    close: () => model.delete(),
  };
}
