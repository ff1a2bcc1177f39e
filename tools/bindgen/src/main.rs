//! Makes of the compiled `wasm/` what JavaScript can load: `index_bg.wasm`, and `index_bg.js`, the
//! functions that the module imports and exports.
//!
//! ```sh
//! omnitrade-edge-bindgen MODULE.wasm FOLDER
//! ```
//!
//! It is what the program `wasm-bindgen` does, without the other targets, options and formats of
//! that program, which take minutes to build.

use std::error::Error;
use std::process::ExitCode;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [module, folder] = args.as_slice() else {
        eprintln!("usage: omnitrade-edge-bindgen MODULE.wasm FOLDER");
        return ExitCode::from(2);
    };
    match generate(module, folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{module}: {error:?}");
            ExitCode::FAILURE
        }
    }
}

/// The names of functions stay in the module: `scripts/build.mjs` removes them at the end, and
/// keeps them in another file.
fn generate(module: &str, folder: &str) -> Result<(), Box<dyn Error>> {
    // This target leaves the instantiation to the caller: `wasm/entry.js`.
    Ok(Bindgen::new()
        .bundler(true)?
        .input_path(module)
        .out_name("index")
        .remove_producers_section(true)
        .generate(folder)?)
}
