// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax

/// Finds mistakes in words without variables, which need no image to be found.
struct LiteralChecks {
    private let expander: WordExpander

    init(_ expander: WordExpander) { self.expander = expander }

    func failures(in step: StageInstruction) -> [LoweringFailure] {
        switch step.instruction.kind {
        case .copy(let copy): failures(in: FileTransfer(copy), origin: step.origin)
        case .add(let add): failures(in: FileTransfer(add), origin: step.origin)
        case .expose(let words):
            words.compactMap { word in
                failure(word) { text throws(LoweringFailure) in
                    for port in text.split(separator: " ") { _ = try PortSpec.parse(String(port)) }
                }
            }
        case .stopsignal(let word):
            [failure(word) { text throws(LoweringFailure) in try StopSignal.check(text, at: word.range) }].compactMap {
                $0
            }
        default: []
        }
    }

    private func failures(in transfer: FileTransfer, origin: CopyOrigin) -> [LoweringFailure] {
        var found = transfer.sources.compactMap { source -> LoweringFailure? in
            guard case .path(let word) = source, let text = literal(word) else { return nil }
            return transfer.failure(text, at: word.range, origin: origin)
        }
        if let chmod = transfer.chmod {
            let wrong = failure(chmod) { text throws(LoweringFailure) in
                if !text.isEmpty { _ = try FileTransfer.permissions(text, at: nil) }
            }
            if let wrong { found.append(wrong) }
        }
        return found
    }

    private func failure(_ word: Word, _ check: (String) throws(LoweringFailure) -> Void) -> LoweringFailure? {
        guard let text = literal(word) else { return nil }
        do throws(LoweringFailure) {
            try check(text)
            return nil
        } catch {
            var error = error
            error.range = word.range
            return error
        }
    }

    /// The word without its quotes; nil when variables have a say in it.
    private func literal(_ word: Word) -> String? {
        guard !word.text.utf8.contains(UInt8(ascii: "$")) else { return nil }
        return try? expander.expand(word.text, environment: [:])
    }
}
