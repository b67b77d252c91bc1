// SPDX-License-Identifier: EUPL-1.2
// A form with data-passkey is sent once the citizen's device has made a passkey ("create") for the record whose challenge the form has,
// or signed it ("get"): the device's answer goes into the form's hidden fields. Nothing else is sent, and nowhere else. The form's
// button works when this does.
"use strict";
(() => {
	const form = document.querySelector("form[data-passkey]");
	if (!form) return;
	const d = form.dataset;
	const button = form.querySelector("button[type=submit]");
	const part = name => form.querySelector(`[data-part="${name}"]`);
	const bytes = text => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), c => c.charCodeAt(0));
	const text = buffer => btoa(Array.from(new Uint8Array(buffer), b => String.fromCharCode(b)).join(""))
		.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
	const known = d.credentials.split(" ").filter(id => id).map(id => ({type: "public-key", id: bytes(id)}));

	const fail = why => {
		part("wait").hidden = true;
		for (const line of part("error").querySelectorAll("[data-error]")) line.hidden = line.dataset.error !== why;
		part("error").hidden = false;
		button.disabled = false;
		button.focus();
	};
	const reason = error => ({
		NotAllowedError: "cancelled", AbortError: "cancelled", InvalidStateError: "known", SecurityError: "address", NotSupportedError: "none",
	})[error.name] ?? "other";

	// Answers by the names of the form's fields.
	const create = async () => {
		const made = await navigator.credentials.create({publicKey: {
			challenge: bytes(d.challenge), rp: {id: d.rp, name: d.rp}, attestation: "none",
			user: {id: crypto.getRandomValues(new Uint8Array(16)), name: d.user, displayName: d.user},
			pubKeyCredParams: [-7, -8, -257].map(alg => ({type: "public-key", alg})), excludeCredentials: known,
			authenticatorSelection: {residentKey: "preferred", userVerification: "required"},
		}});
		return {authenticator_data: made.response.getAuthenticatorData(), client_data: made.response.clientDataJSON};
	};
	const get = async () => {
		const signed = await navigator.credentials.get({publicKey: {
			challenge: bytes(d.challenge), rpId: d.rp, userVerification: "required", allowCredentials: known,
		}});
		return {
			credential: signed.rawId, authenticator_data: signed.response.authenticatorData,
			client_data: signed.response.clientDataJSON, signature: signed.response.signature,
		};
	};

	if (!window.PublicKeyCredential) {
		part("error").hidden = false;
		part("error").querySelector('[data-error="none"]').hidden = false;
		return;
	}
	button.disabled = false;
	form.addEventListener("submit", async event => {
		event.preventDefault();
		button.disabled = true;
		part("error").hidden = true;
		part("wait").hidden = false;
		try {
			const answer = await (d.passkey === "create" ? create() : get());
			for (const [name, value] of Object.entries(answer)) form.elements[name].value = text(value);
		} catch (error) {
			fail(reason(error));
			return;
		}
		form.submit();
	});
})();
