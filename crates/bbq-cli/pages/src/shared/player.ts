/** Who the visitor is: a name to show, and a guest account. Both are made up, and kept by the browser. */

const NAME = "bbq.name";
const ACCOUNT = "bbq.account";
const FIRST = ["Amber", "Cedar", "Cinder", "Ember", "Hickory", "Juniper", "Maple", "Pepper", "Rosemary", "Saffron", "Smoky", "Thyme"];
const SECOND = ["Badger", "Falcon", "Fox", "Heron", "Lynx", "Marten", "Otter", "Owl", "Raven", "Stoat", "Swift", "Wren"];

function pick(words: readonly string[]): string {
  return words[Math.floor(Math.random() * words.length)] ?? "";
}

/** Storage may be switched off; then the visitor is somebody else next time. */
function kept(storage: () => Storage, key: string, make: () => string): string {
  try {
    const known = storage().getItem(key);
    if (known) return known;
    const made = make();
    storage().setItem(key, made);
    return made;
  } catch {
    return make();
  }
}

/** What the visitor is called; the same in all tabs. */
export function playerName(): string {
  return kept(() => localStorage, NAME, () => `${pick(FIRST)} ${pick(SECOND)}`);
}

export function setPlayerName(name: string): void {
  try {
    localStorage.setItem(NAME, name);
  } catch {
    // Then it holds for this page only.
  }
}

/** A guest account for each tab: two tabs with one account would push each other out. */
export function guestAccount(): string {
  return kept(() => sessionStorage, ACCOUNT, () => {
    const random = crypto.getRandomValues(new Uint8Array(8));
    return `web-${[...random].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  });
}

/** A colour that stays with a name or a number, light enough for a dark page. */
export function hueOf(what: string | number): number {
  let hash = 0x811c9dc5;
  for (const char of String(what)) hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193);
  hash ^= hash >>> 15;
  return (hash >>> 0) % 360;
}
