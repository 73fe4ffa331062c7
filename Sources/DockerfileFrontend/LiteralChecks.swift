// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import DockerfileSyntax

/// Finds mistakes in words without variables, which need no image to be found.
struct LiteralChecks {
    private let expander: WordExpander

    init(_ expander: WordExpander) { self.expander = expander }

    func failures(in step: StageInstruction) -> [LoweringFailure] {
        switch step.instruction.kind {
        case .copy(let copy): failures(in: FileTransfer(copy))
        case .add(let add): failures(in: FileTransfer(add))
        case .run(let run): run.mounts.compactMap(failure)
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

    private func failures(in transfer: FileTransfer) -> [LoweringFailure] {
        var found: [LoweringFailure] = []
        var locations: [CopyLocation?] = []
        for case .path(let word) in transfer.sources {
            var location: CopyLocation?
            let wrong = failure(word) { text throws(LoweringFailure) in
                location = try transfer.location(text, at: word.range)
                if let known = location { try check(known, transfer) }
            }
            if let wrong { found.append(wrong) }
            locations.append(location)
        }
        if let checksum = transfer.checksum, literal(checksum)?.isEmpty == false {
            let known = locations.compactMap { $0 }
            // A source with variables is not known yet, but it is one of several all the same.
            if known.count == locations.count || locations.count > 1 {
                do throws(LoweringFailure) {
                    try transfer.checkChecksum(locations.count > 1 ? [] : known)
                } catch {
                    found.append(error)
                }
            }
        }
        if let chmod = transfer.chmod {
            let wrong = failure(chmod) { text throws(LoweringFailure) in
                if !text.isEmpty { _ = try FileTransfer.permissions(text, at: nil) }
            }
            if let wrong { found.append(wrong) }
        }
        return found
    }

    private func check(_ location: CopyLocation, _ transfer: FileTransfer) throws(LoweringFailure) {
        let checksum = transfer.checksum.map { literal($0) } ?? ""
        guard let checksum, transfer.sources.count == 1 else { return }
        switch location {
        case .path: return
        case .git(let reference): _ = try transfer.gitOp(reference, checksum: checksum)
        case .web(let url): _ = try HTTPOp(adding: url, checksum: checksum)
        }
    }

    /// What is wrong with a mount whose fields have no variables.
    private func failure(_ mount: MountSpec) -> LoweringFailure? {
        let words = mount.fields.filter { $0.key != "from" }.compactMap(\.value)
        guard words.allSatisfy({ literal($0) != nil }) else { return nil }
        do throws(LoweringFailure) {
            _ = try RunMount(mount) { word throws(LoweringFailure) in literal(word) ?? word.text }
            return nil
        } catch {
            return error
        }
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
