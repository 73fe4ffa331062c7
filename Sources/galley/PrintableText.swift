// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Text of others, like a step of a Dockerfile or a file's name, as one line that no terminal takes for orders: blanks
/// for line breaks and tabs, question marks for other control characters.
func printable(_ text: String) -> String {
    String(
        text.map { character in
            if character.isNewline || character == "\t" { return " " }
            return character.unicodeScalars.contains { $0.properties.generalCategory == .control } ? "?" : character
        }
    )
}
