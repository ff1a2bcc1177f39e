//! Tokens: WebCrypto verifies their signatures, and the issuer's keys are fetched.

use js_sys::{Array, JSON, Object, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, RequestInit, RequestRedirect, Response};

use crate::engine::jwt::{Algorithm, Key};
use crate::identity::{FETCH_TIMEOUT, KeyReply, LONGEST_KEY_SET, Outcome, Verification};

use super::head::value;
use super::origin::{let_go, read};
use super::platform::Timer;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch, js_namespace = ["crypto", "subtle"], js_name = importKey)]
    fn import_key(
        format: &str,
        key: &JsValue,
        algorithm: &JsValue,
        extractable: bool,
        usages: &Array,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch, js_namespace = ["crypto", "subtle"], js_name = verify)]
    fn verify_signature(
        algorithm: &JsValue,
        key: &JsValue,
        signature: &[u8],
        data: &[u8],
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(js_name = fetch)]
    fn js_fetch(url: &str, init: &RequestInit) -> Promise;
}

/// Checks whether one of the keys has signed a token.
pub async fn verify(token: &Verification) -> Outcome {
    let mut outcome = Outcome::Unusable;
    for key in &token.keys {
        let Ok((algorithm, key)) = imported(key).await else {
            continue;
        };
        // Some platforms throw if a signature has the wrong length, and anybody can send one.
        match is_signed(token, &algorithm, &key).await {
            Ok(true) => return Outcome::Signed,
            Ok(false) | Err(_) => outcome = Outcome::NotSigned,
        }
    }
    outcome
}

/// A key of the issuer as the platform's algorithm and key.
async fn imported(key: &Key) -> Result<(Object, JsValue), JsValue> {
    let algorithm = Object::new();
    let members: &[(&str, &str)] = match key.algorithm {
        Algorithm::Rs256 => &[("name", "RSASSA-PKCS1-v1_5"), ("hash", "SHA-256")],
        Algorithm::Es256 => &[
            ("name", "ECDSA"),
            ("namedCurve", "P-256"),
            ("hash", "SHA-256"),
        ],
        Algorithm::EdDsa => &[("name", "Ed25519")],
    };
    for (name, value) in members {
        Reflect::set(&algorithm, &(*name).into(), &(*value).into())?;
    }
    let usages = Array::of1(&"verify".into());
    let jwk = JSON::parse(&key.jwk)?;
    let key = JsFuture::from(import_key("jwk", &jwk, &algorithm, false, &usages)?).await?;
    Ok((algorithm, key))
}

async fn is_signed(
    token: &Verification,
    algorithm: &Object,
    key: &JsValue,
) -> Result<bool, JsValue> {
    let signed = token.signed.as_bytes();
    let verified = verify_signature(algorithm, key, &token.signature, signed)?;
    Ok(JsFuture::from(verified).await?.is_truthy())
}

/// Fetches the issuer's keys; `None` if they do not come in time, or are too long.
pub async fn fetch_keys(url: &str) -> Option<KeyReply> {
    let init = RequestInit::new();
    let controller = AbortController::new().ok()?;
    init.set_signal(Some(&controller.signal()));
    // Only the configured address may say which keys there are.
    init.set_redirect(RequestRedirect::Manual);
    let _timer = Timer::after(FETCH_TIMEOUT, move || controller.abort());
    let response: Response = JsFuture::from(js_fetch(url, &init))
        .await
        .ok()?
        .unchecked_into();
    let headers = response.headers();
    let field = |name: &str| Some((name.to_owned(), value(&headers, name)?.into_owned()));
    let fields = ["cache-control", "age", "expires"]
        .into_iter()
        .filter_map(field);
    let fields = fields.collect();
    if response.status() != 200 {
        let_go(&response);
        let (status, body) = (response.status(), Default::default());
        return Some(KeyReply {
            status,
            fields,
            body,
        });
    }
    let body = read(response.body(), LONGEST_KEY_SET, FETCH_TIMEOUT).await;
    Some(KeyReply {
        status: 200,
        fields,
        body: body.ok()?,
    })
}
