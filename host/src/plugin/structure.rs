//! Limits the structure of a component. It refuses structures that no compiler produces, before the component is
//! validated, compiled or kept.
//!
//! The parser reads one section at a time, keeps nothing and limits its depth. The limits are about ten times the
//! values of an adapter that contains a whole interpreter. A file within the limits may still be expensive to compile:
//! see `compiler.rs`.

use std::fmt::Display;

use wasmparser::{
    ComponentType, ComponentTypeDeclaration, CoreType, FunctionBody, InstanceTypeDeclaration, Parser, Payload,
    SectionLimited,
};

use crate::domain::words::one_line;

/// The maximum size of a component in bytes. One that contains an interpreter has about 20 MB.
pub const COMPONENT_BYTES_MAX: u64 = 256 << 20;
/// The maximum nesting of modules and components.
const NESTING_MAX: usize = 8;
/// The maximum number of modules in a component, at every depth.
const MODULES_MAX: usize = 256;
/// The maximum number of nested components, at every depth.
const COMPONENTS_MAX: usize = 256;
/// The maximum number of sections, at every depth.
const SECTIONS_MAX: usize = 20_000;
/// The maximum size in bytes of a component's own sections together: types, imports, exports, aliases, instances.
const DESCRIPTION_BYTES_MAX: u64 = 1 << 20;
/// The maximum nesting of types.
const TYPE_NESTING_MAX: usize = 16;
/// The maximum number of functions, imports, exports and similar items of one module.
const ITEMS_MAX: u32 = 200_000;
/// The maximum size of one function in bytes.
const FUNCTION_BYTES_MAX: u64 = 4 << 20;
/// The maximum number of local variables of one function.
const LOCALS_MAX: u64 = 4_000;
/// The maximum product of local variables and bytes of one function: a compiler may visit each variable at every step.
const LOCALS_TIMES_BYTES_MAX: u64 = 400_000_000;
/// The maximum length of the name of an import or export, in bytes.
const NAME_BYTES_MAX: usize = 4_096;

/// The maximum length of the parser's message in characters.
pub(super) const REASON_CHARS_MAX: usize = 300;

/// Why a file is refused.
#[derive(Debug)]
pub(super) enum Refused {
    /// It is not a component, or a damaged one.
    Malformed(String),
    /// It has more parts than an adapter can need.
    TooMuch(String),
}

impl From<wasmparser::BinaryReaderError> for Refused {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        Self::Malformed(one_line(&error.to_string(), REASON_CHARS_MAX))
    }
}

fn within<N: Copy + PartialOrd + Display>(what: &str, found: N, max: N) -> Result<(), Refused> {
    if found <= max { Ok(()) } else { Err(Refused::TooMuch(format!("{what}: more than {max}"))) }
}

/// Checks whether later steps may examine these bytes.
pub(super) fn check(bytes: &[u8]) -> Result<(), Refused> {
    within("bytes", bytes.len() as u64, COMPONENT_BYTES_MAX)?;
    let mut found = Found::default();
    for payload in Parser::new(0).parse_all(bytes) {
        found.take(&payload?)?;
    }
    Ok(())
}

#[derive(Default)]
struct Found {
    nesting: usize,
    modules: usize,
    components: usize,
    sections: usize,
    description_bytes: u64,
}

impl Found {
    fn take(&mut self, payload: &Payload<'_>) -> Result<(), Refused> {
        if let Some((_, range)) = payload.as_section() {
            self.sections += 1;
            within("sections", self.sections, SECTIONS_MAX)?;
            if is_description(payload) {
                self.description_bytes += range.end - range.start;
                within(
                    "bytes of types, imports, exports and instances",
                    self.description_bytes,
                    DESCRIPTION_BYTES_MAX,
                )?;
            }
        }
        match payload {
            Payload::ModuleSection { .. } => {
                self.modules += 1;
                within("modules", self.modules, MODULES_MAX)?;
                self.nest()
            }
            Payload::ComponentSection { .. } => {
                self.components += 1;
                within("components", self.components, COMPONENTS_MAX)?;
                self.nest()
            }
            Payload::End(_) => {
                self.nesting = self.nesting.saturating_sub(1);
                Ok(())
            }
            Payload::ComponentTypeSection(types) => {
                types.clone().into_iter().try_for_each(|one| component_type(&one?, 1))
            }
            Payload::CoreTypeSection(types) => types.clone().into_iter().try_for_each(|one| core_type(&one?)),
            Payload::ImportSection(imports) => imports.clone().into_imports().try_for_each(|one| {
                let import = one?;
                name(import.module).and_then(|()| name(import.name))
            }),
            Payload::ExportSection(exports) => {
                items(exports)?;
                exports.clone().into_iter().try_for_each(|one| name(one?.name))
            }
            Payload::ComponentImportSection(imports) => {
                imports.clone().into_iter().try_for_each(|one| name(one?.name.name))
            }
            Payload::ComponentExportSection(exports) => {
                exports.clone().into_iter().try_for_each(|one| name(one?.name.name))
            }
            Payload::TypeSection(section) => items(section),
            Payload::FunctionSection(section) => items(section),
            Payload::GlobalSection(section) => items(section),
            Payload::ElementSection(section) => items(section),
            Payload::DataSection(section) => items(section),
            Payload::CodeSectionEntry(body) => function(body),
            _ => Ok(()),
        }
    }

    fn nest(&mut self) -> Result<(), Refused> {
        self.nesting += 1;
        within("modules and components within each other", self.nesting, NESTING_MAX)
    }
}

/// Whether a section describes the component itself. Nested modules and tools' custom sections do not count.
fn is_description(payload: &Payload<'_>) -> bool {
    matches!(
        payload,
        Payload::ComponentTypeSection(_)
            | Payload::CoreTypeSection(_)
            | Payload::InstanceSection(_)
            | Payload::ComponentInstanceSection(_)
            | Payload::ComponentAliasSection(_)
            | Payload::ComponentCanonicalSection(_)
            | Payload::ComponentStartSection { .. }
            | Payload::ComponentImportSection(_)
            | Payload::ComponentExportSection(_)
    )
}

fn items<T>(section: &SectionLimited<'_, T>) -> Result<(), Refused> {
    within("entries of one section", section.count(), ITEMS_MAX)
}

fn name(name: &str) -> Result<(), Refused> {
    within("bytes of a name", name.len(), NAME_BYTES_MAX)
}

fn function(body: &FunctionBody<'_>) -> Result<(), Refused> {
    let range = body.range();
    let bytes = range.end - range.start;
    within("bytes of a function", bytes, FUNCTION_BYTES_MAX)?;
    let mut locals = 0_u64;
    for group in body.get_locals_reader()? {
        locals += u64::from(group?.0);
        within("local variables of a function", locals, LOCALS_MAX)?;
    }
    within("local variables of a function times its bytes", locals * bytes, LOCALS_TIMES_BYTES_MAX)
}

fn deeper(depth: usize) -> Result<(), Refused> {
    within("types within each other", depth, TYPE_NESTING_MAX)
}

/// The parser itself limits the depth to a hundred levels.
fn component_type(read: &ComponentType<'_>, depth: usize) -> Result<(), Refused> {
    deeper(depth)?;
    match read {
        ComponentType::Component(declarations) => declarations.iter().try_for_each(|one| match one {
            ComponentTypeDeclaration::Type(one) => component_type(one, depth + 1),
            ComponentTypeDeclaration::CoreType(one) => core_type(one),
            ComponentTypeDeclaration::Alias(_)
            | ComponentTypeDeclaration::Export { .. }
            | ComponentTypeDeclaration::Import(_) => Ok(()),
        }),
        ComponentType::Instance(declarations) => declarations.iter().try_for_each(|one| match one {
            InstanceTypeDeclaration::Type(one) => component_type(one, depth + 1),
            InstanceTypeDeclaration::CoreType(one) => core_type(one),
            InstanceTypeDeclaration::Alias(_) | InstanceTypeDeclaration::Export { .. } => Ok(()),
        }),
        ComponentType::Defined(_) | ComponentType::Func(_) | ComponentType::Resource { .. } => Ok(()),
    }
}

fn core_type(read: &CoreType<'_>) -> Result<(), Refused> {
    match read {
        CoreType::Module(declarations) => within("entries of a module's type", declarations.len(), ITEMS_MAX as usize),
        CoreType::Rec(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        match check(&wat::parse_str(text).unwrap()) {
            Err(Refused::TooMuch(reason) | Refused::Malformed(reason)) => reason,
            Ok(()) => "nothing".to_owned(),
        }
    }

    fn nested(open: &str, depth: usize) -> String {
        format!("(component {}{})", open.repeat(depth), ")".repeat(depth * open.matches('(').count()))
    }

    fn in_module(body: &str) -> String {
        format!("(component (core module {body}))")
    }

    #[test]
    fn hostile_structures_are_each_refused_with_their_own_reason() {
        let locals = |count: usize| format!("(func (local {}))", "i32 ".repeat(count));
        for (text, words) in [
            (nested("(component ", 9), "modules and components within each other: more than 8"),
            (format!("(component {})", "(component)".repeat(257)), "components: more than 256"),
            (format!("(component {})", "(core module)".repeat(257)), "modules: more than 256"),
            (nested("(type (component ", 17), "types within each other: more than 16"),
            (in_module(&locals(4_001)), "local variables of a function: more than 4000"),
            (in_module(&format!("(func (export \"{}\"))", "x".repeat(4_097))), "bytes of a name: more than 4096"),
            (in_module(&"(global i32 (i32.const 0))".repeat(200_001)), "entries of one section: more than 200000"),
        ] {
            let found = refusal(&text);
            assert!(found.starts_with(words), "{words}: {found}");
        }
        for text in [nested("(component ", 8), in_module(&locals(4_000))] {
            assert_eq!(refusal(&text), "nothing");
        }
    }

    #[test]
    fn a_parser_error_is_one_line() {
        let nested = [&b"\0asm\x0d\0\x01\0\x04\x08\0\xffsm\x0d\0\x01\0"[..]].concat();
        let Err(Refused::Malformed(reason)) = check(&nested) else { panic!("it is damaged") };
        assert!(reason.contains("bad magic number") && !reason.contains('\n'), "{reason:?}");
    }

    #[test]
    fn hostile_types_nested_without_end_are_refused_before_they_are_read() {
        // Types that nest up to a hundred thousand levels deep.
        for depth in [17, 99, 1_000, 100_000] {
            let mut body = vec![1];
            body.extend(std::iter::repeat_n([0x41, 0x01, 0x01], depth).flatten());
            body.extend([0x41, 0x00]);
            let mut bytes = b"\0asm\x0d\0\x01\0\x07".to_vec();
            let mut length = body.len();
            while length > 127 {
                bytes.push(u8::try_from(length & 127).unwrap() | 128);
                length >>= 7;
            }
            bytes.push(u8::try_from(length).unwrap());
            bytes.extend(body);
            assert!(check(&bytes).is_err(), "{depth}");
        }
    }
}
