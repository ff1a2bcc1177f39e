//! The part of the program `wasm-bindgen` that wasm-pack uses for `--target web` (the module that
//! browsers, servers and bundlers can load, and its JavaScript), and worker-build for
//! `--target module` (the same for Workers of the crate `worker`).
//!
//! ```sh
//! wasm-bindgen --version
//! wasm-bindgen MODULE.wasm --out-dir FOLDER --out-name NAME --target web --no-typescript
//! ```
//!
//! wasm-pack finds it on the `PATH` and compares its version with the one in `Cargo.lock`;
//! worker-build takes it from the variable `WASM_BINDGEN_BIN`. All other options are an error,
//! because here they would do nothing.

use std::error::Error;
use std::process::ExitCode;

use wasm_bindgen_cli_support::Bindgen;

const USAGE: &str = "usage: wasm-bindgen --version
       wasm-bindgen MODULE.wasm --target web|module --out-dir FOLDER [--out-name NAME]
                    [--typescript | --no-typescript] [--omit-default-module-path]
                    [--experimental-reset-state-function] [--force-enable-abort-handler]";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args == ["--version"] {
        println!("wasm-bindgen {}", wasm_bindgen_shared::version());
        return ExitCode::SUCCESS;
    }
    let options = match Options::parse(args) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match options.generate() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error:?}", options.module);
            ExitCode::FAILURE
        }
    }
}

/// What is to be made of which module.
#[derive(Debug, PartialEq)]
struct Options {
    module: String,
    folder: String,
    /// Without one, the files are named after the module.
    name: Option<String>,
    target: Target,
    typescript: bool,
    omit_default_module_path: bool,
    /// The JavaScript can put a new instance of the module in the place of one that has trapped.
    reset_state_function: bool,
    /// The JavaScript calls the program if the module has trapped.
    abort_handler: bool,
}

/// Where the JavaScript runs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Target {
    Web,
    Module,
}

impl Options {
    /// # Errors
    ///
    /// What is wrong, if an option is unknown, incomplete or missing.
    fn parse(args: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let (mut module, mut folder, mut name, mut target) = (None, None, None, None);
        let (mut typescript, mut omit_default_module_path) = (true, false);
        let (mut reset_state_function, mut abort_handler) = (false, false);
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let place = match arg.as_str() {
                "--out-dir" => &mut folder,
                "--out-name" => &mut name,
                "--target" => &mut target,
                "--typescript" | "--no-typescript" => {
                    typescript = arg == "--typescript";
                    continue;
                }
                "--omit-default-module-path" => {
                    omit_default_module_path = true;
                    continue;
                }
                "--experimental-reset-state-function" => {
                    reset_state_function = true;
                    continue;
                }
                "--force-enable-abort-handler" => {
                    abort_handler = true;
                    continue;
                }
                option if option.starts_with('-') => {
                    return Err(format!("{option} is not supported"));
                }
                _ if module.is_none() => {
                    module = Some(arg);
                    continue;
                }
                _ => return Err(format!("there is a module already: {arg}")),
            };
            let value = args.next();
            *place = Some(value.ok_or_else(|| format!("{arg} needs a value"))?);
        }
        let target = match target.as_deref() {
            Some("web") => Target::Web,
            Some("module") => Target::Module,
            Some(other) => return Err(format!("--target {other} is not supported")),
            None => return Err("--target is missing".to_owned()),
        };
        Ok(Self {
            module: module.ok_or("the module is missing")?,
            folder: folder.ok_or("--out-dir is missing")?,
            name,
            target,
            typescript,
            omit_default_module_path,
            reset_state_function,
            abort_handler,
        })
    }

    fn generate(&self) -> Result<(), Box<dyn Error>> {
        let mut bindgen = Bindgen::new();
        match self.target {
            Target::Web => bindgen.web(true)?,
            Target::Module => bindgen.module(true)?,
        };
        bindgen
            .input_path(&self.module)
            .typescript(self.typescript)
            .omit_default_module_path(self.omit_default_module_path)
            .reset_state_function(self.reset_state_function)
            .force_enable_abort_handler(self.abort_handler);
        if let Some(name) = &self.name {
            bindgen.out_name(name);
        }
        Ok(bindgen.generate(&self.folder)?)
    }
}

#[cfg(test)]
mod tests {
    use super::{Options, Target};

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split(' ').map(str::to_owned))
    }

    #[test]
    fn it_takes_what_wasm_pack_passes() {
        let line = "a.wasm --out-dir out --no-typescript --target web --out-name edge \
            --omit-default-module-path";
        let expected = Options {
            module: "a.wasm".to_owned(),
            folder: "out".to_owned(),
            name: Some("edge".to_owned()),
            target: Target::Web,
            typescript: false,
            omit_default_module_path: true,
            reset_state_function: false,
            abort_handler: false,
        };
        assert_eq!(parse(line), Ok(expected));
    }

    #[test]
    fn it_takes_what_worker_build_passes() {
        let line = "a.wasm --out-dir out --no-typescript --target module --out-name index \
            --experimental-reset-state-function --force-enable-abort-handler";
        let expected = Options {
            module: "a.wasm".to_owned(),
            folder: "out".to_owned(),
            name: Some("index".to_owned()),
            target: Target::Module,
            typescript: false,
            omit_default_module_path: false,
            reset_state_function: true,
            abort_handler: true,
        };
        assert_eq!(parse(line), Ok(expected));
    }

    #[test]
    fn whatever_else_is_passed_is_an_error() {
        for line in [
            "a.wasm --out-dir out --target bundler",
            "a.wasm --out-dir out",
            "a.wasm --target web",
            "--out-dir out --target web",
            "a.wasm b.wasm --out-dir out --target web",
            "a.wasm --out-dir out --target web --weak-refs",
            "a.wasm --target web --out-dir",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
