// What LiteRT.js's interop imports of TensorFlow.js, taken from the one that the embedding page has loaded as globalThis.tf.

const { tf } = globalThis;

export const getBackend = () => tf.getBackend();
export const backend = () => tf.backend();
export const tensor = (...given) => tf.tensor(...given);
export const Tensor = tf.Tensor;
