// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

extension Heredoc {
    /// A word that opens a heredoc: `[fd]<<[-]NAME`.
    struct Marker: Hashable {
        var name: String
        var fileDescriptor: Int
        var expands: Bool
        var stripsTabs: Bool

        /// Nil when `word` opens no heredoc.
        init?(word: String) {
            return nil
        }
    }
}
