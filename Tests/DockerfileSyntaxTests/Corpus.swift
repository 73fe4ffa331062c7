// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Foundation
import Testing

/// The files under Tests/Corpus.
enum Corpus {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Corpus")

    /// Set GALLEY_UPDATE_CORPUS=1 to write what the code says instead of comparing; then read the diff.
    static let isUpdating = ProcessInfo.processInfo.environment["GALLEY_UPDATE_CORPUS"] == "1"

    static func directories(in name: String) -> [String] {
        let path = root.appending(path: name).path(percentEncoded: false)
        let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        return names.filter { !$0.hasPrefix(".") }.sorted()
    }

    static func bytes(_ path: String) throws -> [UInt8] {
        Array(try Data(contentsOf: root.appending(path: path)))
    }

    static func text(_ path: String) throws -> String { String(decoding: try bytes(path), as: UTF8.self) }

    static func write(_ text: String, to path: String) throws {
        try Data(text.utf8).write(to: root.appending(path: path))
    }

    /// A table with `#` comments; in cells `⏎` stands for a newline and `⇥` for a tab.
    static func rows(_ path: String, columns: Int) -> [Row] {
        guard let text = try? text(path) else { return [] }
        return text.split(separator: "\n", omittingEmptySubsequences: false).enumerated().compactMap { index, line in
            if line.isEmpty || line.hasPrefix("#") { return nil }
            var cells = line.split(separator: "\t", omittingEmptySubsequences: false).map {
                String($0).replacing("⏎", with: "\n").replacing("⇥", with: "\t")
            }
            while cells.count < columns { cells.append("") }
            return Row(line: index + 1, cells: cells)
        }
    }

    struct Row: CustomTestStringConvertible {
        let line: Int
        let cells: [String]

        var testDescription: String { "line \(line): \(cells.joined(separator: " | "))" }
    }
}
