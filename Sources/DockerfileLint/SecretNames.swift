// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Guesses from a variable's name whether it holds a secret.
enum SecretNames {
    private static let telling: Set<String> = [
        "apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token",
    ]
    private static let harmless: Set<String> = ["public", "file", "version"]

    /// Whether one of the words between underscores means a secret and none takes it back.
    static func suggestSecret(_ name: String) -> Bool {
        let words = name.lowercased().split(separator: "_").map(String.init)
        return words.contains(where: telling.contains) && !words.contains(where: harmless.contains)
    }
}
