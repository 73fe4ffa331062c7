// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax
import Testing

/// A small generator with a fixed sequence, so that a failure can be repeated.
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}

@Suite struct FuzzTests {
    /// Whatever is done to a file, it is parsed or refused, ranges stay inside it, and rendering works.
    @Test func mutatedDockerfiles() throws {
        var random = SeededRandom(seed: 42)
        let seeds = try Corpus.directories(in: "dockerfiles").map { try Corpus.bytes("dockerfiles/\($0)/Dockerfile") }
        #expect(!seeds.isEmpty)
        let pieces = [
            "\\", "\n", "\\\n", "<<E", "<<-\"E\"\n", "[", "]", "\"", "'", "${", "}", "--", "=", ",", "#", "ONBUILD ",
            "FROM ", "RUN ", "\u{FEFF}", "\r", "\t", "é", "\0", "# escape=`\n", "--mount=type=", "\u{A0}",
        ].map { Array($0.utf8) }
        for _ in 0..<3000 {
            var bytes = seeds.randomElement(using: &random) ?? []
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let index = Int.random(in: 0...bytes.count, using: &random)
                switch Int.random(in: 0..<5, using: &random) {
                case 0: bytes.insert(contentsOf: pieces.randomElement(using: &random) ?? [], at: index)
                case 1: bytes.insert(UInt8.random(in: 0...255, using: &random), at: index)
                case 2: if index < bytes.count { bytes.remove(at: index) }
                case 3: bytes.removeSubrange(index..<min(bytes.count, index + Int.random(in: 0...40, using: &random)))
                default: bytes += bytes[..<index].suffix(60)
                }
            }
            check(bytes)
        }
    }

    private func check(_ bytes: [UInt8]) {
        do {
            let file = try Dockerfile(parsing: bytes)
            #expect(file.bytes == bytes)
            var last = 0
            var isSound = true
            for instruction in file.instructions {
                isSound =
                    isSound && instruction.range.start.offset >= last && instruction.range.end.offset <= bytes.count
                last = instruction.range.end.offset
                for heredoc in instruction.heredocs {
                    isSound = isSound && heredoc.contentRange.end.offset <= bytes.count
                }
            }
            #expect(isSound)
            _ = Dump.of(file)
        } catch {
            #expect(!error.diagnostics.isEmpty)
            for diagnostic in error.diagnostics {
                #expect(diagnostic.range.start <= diagnostic.range.end && diagnostic.range.end.offset <= bytes.count)
                _ = diagnostic.render(in: error.source)
            }
        }
        _ = Dockerfile.detectSyntax(in: bytes)
    }

    @Test func mutatedWords() {
        var random = SeededRandom(seed: 3)
        let pieces = [
            "$", "{", "}", "A", "B", ":", "-", "+", "?", "#", "%", "/", "\\", "\"", "'", "*", " ", "é", "${A", "${A#",
            "//",
        ]
        for _ in 0..<8_000 {
            let word = (0..<Int.random(in: 0...12, using: &random)).map { _ in
                pieces.randomElement(using: &random) ?? ""
            }.joined()
            for mode in [WordExpander.Mode.word, .heredocBody, .display] {
                _ = try? WordExpander(mode: mode).expansion(of: word, environment: ["A": "xéy/z", "é": "1"])
            }
        }
    }

    /// What skips a directory must ignore all that could be below it.
    @Test func mutatedPatterns() {
        var random = SeededRandom(seed: 5)
        let pieces = [
            "a", "b", "/", "*", "**", "?", "[", "]", "^", "-", "!", "\\", "\n", " ", ".", "..", "é", "**/", "|",
        ]
        var skipped = 0
        for _ in 0..<8_000 {
            func text(_ most: Int) -> String {
                (0..<Int.random(in: 0...most, using: &random)).map { _ in pieces.randomElement(using: &random) ?? "" }
                    .joined()
            }
            let pattern = text(10)
            let path = text(6)
            if let glob = try? GlobPattern(pattern) { _ = glob.matches(path) }
            guard let file = try? IgnoreFile(parsing: pattern), let matcher = try? IgnoreMatcher(file.patterns) else {
                continue
            }
            let isIgnored = matcher.isIgnored(path)
            guard !path.isEmpty, !path.contains("//"), !path.hasSuffix("/"), matcher.canSkipDirectory(path) else {
                continue
            }
            skipped += 1
            #expect(isIgnored && matcher.isIgnored(path + "/a/b"), "\(pattern.debugDescription) \(path)")
        }
        #expect(skipped > 100)
    }

    @Test func mutatedReferences() {
        var random = SeededRandom(seed: 9)
        let pieces = [
            "git@", "https://", "ssh://", "a.b", ":", "/", ".git", "#", "?", "=", "&", "ref", "%2F", "%", "@", "é",
        ]
        for _ in 0..<8_000 {
            let text = (0..<Int.random(in: 0...10, using: &random)).map { _ in
                pieces.randomElement(using: &random) ?? ""
            }.joined()
            _ = try? GitReference(parsing: text)
        }
    }

    @Test func limitsHeredocs() {
        let text =
            "FROM x\nRUN " + String(repeating: "<<E ", count: 5000) + "\n" + String(repeating: "E\n", count: 5000)
        let error = #expect(throws: DockerfileDiagnostics.self) { try Dockerfile(parsing: text) }
        #expect(error?.diagnostics.first?.message == "more than 1000 heredocs in one instruction")
    }

    /// Files that would show anything quadratic.
    @Test(arguments: [
        "RUN x\n", "RUN x \\\n", "# comment\n", "\n", "RUN \\\n\n", "FROM a AS b\n", "ENV a=b \\\n", "\\\n",
        "RUN <<E\nE\n", "ONBUILD \\\n", "ARG a\n", "\"", "RUNN x\n", "COPY <<E \\\n",
    ])
    func largeFiles(unit: String) {
        let count = 200_000 / unit.utf8.count
        let text = "FROM scratch\nRUN " + String(repeating: unit, count: count)
        let clock = ContinuousClock()
        let elapsed = clock.measure { _ = try? Dockerfile(parsing: text) }
        // 200 kB in debug; a quadratic step would take minutes.
        #expect(elapsed < .seconds(20))
    }
}
