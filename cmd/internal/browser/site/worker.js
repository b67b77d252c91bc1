// SPDX-License-Identifier: EUPL-1.2

// What runs beside the page: it loads the verifier, if it is the one of the digest that the page says, and gives it one file.
// Before this stands the Go toolchain's own wasm_exec.js.
'use strict';

self.onmessage = async ({ data: { base, integrity, file, trust, now } }) => {
  const failed = (reason) => self.postMessage({ type: 'failed', reason });
  if (!self.isSecureContext || !self.crypto.subtle) return failed('secure');
  const go = new self.Go();
  let instance;
  try {
    const answer = await fetch(base + 'verifier.wasm', { integrity, credentials: 'same-origin' });
    if (!answer.ok) throw new Error('no verifier');
    const streams = (answer.headers.get('Content-Type') || '').startsWith('application/wasm');
    const loaded = streams ? WebAssembly.instantiateStreaming(answer, go.importObject) : WebAssembly.instantiate(await answer.arrayBuffer(), go.importObject);
    ({ instance } = await loaded);
  } catch {
    return failed('load');
  }
  const ended = go.run(instance).then(() => { throw new Error('ended'); });
  self.postMessage({ type: 'ready' });
  let told = 0;
  const progress = (step, done, of) => {
    if (done < of && performance.now() - told < 50) return;
    told = performance.now();
    self.postMessage({ type: 'progress', step, done, of });
  };
  try {
    const text = await Promise.race([self.tracciaCheck(new Uint8Array(file), trust, now, progress), ended]);
    self.postMessage({ type: 'verdict', text });
  } catch {
    failed('crash');
  }
};
