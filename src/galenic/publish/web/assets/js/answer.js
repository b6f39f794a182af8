// Logits to probabilities: sigmoid where several classes can be true at once, softmax otherwise (galenic's runtimes/answer.py).

export function probabilities(logits, kind) {
  const values = Array.from(logits);
  if (kind === "multi-label") return values.map((value) => 0.5 * (1 + Math.tanh(0.5 * value)));
  const most = Math.max(...values);
  const shifted = values.map((value) => Math.exp(value - most));
  const total = shifted.reduce((sum, value) => sum + value, 0);
  return shifted.map((value) => value / total);
}
