/** Something given that cannot be used; its message is whole sentences for the person in front of the page. */
export class Refusal extends Error {}
