//! Phrases in a server's text. The search of the standard library, with all that it may print when
//! it panics, would be 3 kB (gzipped) of the npm package's module.

/// Where the phrase begins.
///
/// The texts are short: at worst each byte is compared with each of the phrase.
pub(super) fn position(text: &str, phrase: &str) -> Option<usize> {
    if phrase.is_empty() {
        return Some(0);
    }
    let mut places = text.as_bytes().windows(phrase.len());
    places.position(|place| place == phrase.as_bytes())
}

/// Whether the phrase is there.
pub(super) fn contains(text: &str, phrase: &str) -> bool {
    position(text, phrase).is_some()
}

/// What comes before the phrase; everything if it is not there.
pub(super) fn before<'t>(text: &'t str, phrase: &str) -> &'t str {
    let end = position(text, phrase);
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// What comes after the phrase.
pub(super) fn after<'t>(text: &'t str, phrase: &str) -> Option<&'t str> {
    text.get(position(text, phrase)? + phrase.len()..)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_finds_what_the_standard_library_finds(text in "[abé]{0,12}", phrase in "[abé]{0,3}") {
            let phrase = phrase.as_str();
            prop_assert_eq!(position(&text, phrase), text.find(phrase));
            prop_assert_eq!(contains(&text, phrase), text.contains(phrase));
            prop_assert_eq!(after(&text, phrase), text.split_once(phrase).map(|(_, after)| after));
            let first = text.split_once(phrase).map_or(text.as_str(), |(before, _)| before);
            prop_assert_eq!(before(&text, phrase), first);
        }
    }
}
