// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import DockerfileSyntax
import OCI

/// What COPY and ADD have in common.
struct FileTransfer {
    let isAdd: Bool
    let sources: [CopySource]
    let destination: Word
    let chown: Word?
    let chmod: Word?
    let unpacks: Bool

    init(_ copy: CopyInstruction) {
        isAdd = false
        sources = copy.sources
        destination = copy.destination
        chown = copy.chown
        chmod = copy.chmod
        unpacks = false
    }

    init(_ add: AddInstruction) {
        isAdd = true
        sources = add.sources
        destination = add.destination
        chown = add.chown
        chmod = add.chmod
        unpacks = add.unpack ?? true
    }

    /// What is wrong with a source, variables replaced; nil for one that can be copied.
    func failure(_ source: String, at range: SourceRange, origin: CopyOrigin) -> LoweringFailure? {
        if let failure = UnsupportedFeatures.remoteSource(source, at: range, isAdd: isAdd) { return failure }
        guard origin == .context, ContextPath.escapes(source) else { return nil }
        return LoweringFailure(
            "forbidden path outside the build context: \(source)",
            range,
            nextStep: "Sources are relative to the build context: build with a directory above it as context."
        )
    }

    /// The value of `--chmod`.
    static func permissions(_ text: String, at range: SourceRange?) throws(LoweringFailure) -> FilePermissions {
        if let permissions = FilePermissions(parsing: text) { return permissions }
        throw LoweringFailure(
            "invalid chmod parameter: '\(text)'. it should be octal string and between 0 and 07777",
            range
        )
    }
}

extension StageEvaluator {
    mutating func evaluateCopy(_ transfer: FileTransfer, _ step: StageInstruction) throws(LoweringFailure) {
        let owner = try transfer.chown.map { word throws(LoweringFailure) in try expand(word) } ?? ""
        let mode = try transfer.chmod.map { word throws(LoweringFailure) in try expand(word) } ?? ""
        let permissions = mode.isEmpty ? nil : try FileTransfer.permissions(mode, at: transfer.chmod?.range)
        let target = try expand(transfer.destination)
        let destination = ContextPath.destination(target, in: workingDirectory)
        let prototype = FileCopy(
            input: 0,
            source: "/",
            destination: destination,
            owner: owner.isEmpty ? nil : FileOwner(owner),
            permissions: permissions,
            destinationIsDirectory: destination.hasSuffix("/") || transfer.sources.count > 1
        )
        var actions: [PlannedAction] = []
        var shown: [String] = []
        for case .path(let word) in transfer.sources {
            let source = try expand(word)
            shown.append(source)
            actions.append(try copy(source, word, transfer, prototype, step))
        }
        for case .heredoc(let heredoc) in transfer.sources {
            shown.append("<<" + heredoc.name)
            actions.append(try copy(heredoc, prototype))
        }
        var words = [transfer.isAdd ? "ADD" : "COPY"]
        if !owner.isEmpty { words.append("--chown=" + owner) }
        if !mode.isEmpty { words.append("--chmod=" + mode) }
        add(
            .files(actions),
            displayText(step.instruction.original, expander, plan.environment),
            step,
            createdBy: (words + shown + [target, "# buildkit"]).joined(separator: " ")
        )
    }

    private mutating func copy(
        _ source: String,
        _ word: Word,
        _ transfer: FileTransfer,
        _ prototype: FileCopy,
        _ step: StageInstruction
    ) throws(LoweringFailure) -> PlannedAction {
        if let failure = transfer.failure(source, at: word.range, origin: step.origin) { throw failure }
        var copy = prototype
        copy.source = ContextPath.absolute(source)
        copy.unpacksArchives = transfer.unpacks
        if step.origin == .context { contextPaths.append(copy.source) }
        return .copy(copy, from: .origin(step.origin))
    }

    private func copy(_ heredoc: Heredoc, _ prototype: FileCopy) throws(LoweringFailure) -> PlannedAction {
        guard !heredoc.name.contains("/"), !["", ".", ".."].contains(heredoc.name) else {
            throw LoweringFailure("\"\(heredoc.name)\" is not a file name", heredoc.range)
        }
        var content = heredoc.content
        if heredoc.expands {
            let body = WordExpander(mode: .heredocBody)
            content = try body.expand(Word(content, range: heredoc.contentRange), in: plan.environment)
        }
        var copy = prototype
        copy.source = "/" + heredoc.name
        copy.allowsWildcards = false
        return .copy(copy, from: .inline(FileMakeFile(path: copy.source, content: Array(content.utf8))))
    }

    mutating func evaluateWorkdir(_ word: Word, _ step: StageInstruction) throws(LoweringFailure) {
        let path = ContextPath.absolute(try expand(word), in: workingDirectory)
        let createdBy = "WORKDIR " + path
        plan.config.workingDirectory = path
        guard path != "/" else { return record(createdBy) }
        let user = plan.config.user
        let directory = FileMakeDirectory(path: path, owner: user.isEmpty ? nil : FileOwner(user))
        add(
            .files([.makeDirectory(directory)]),
            displayText(step.instruction.original, expander, plan.environment),
            step,
            createdBy: createdBy
        )
    }
}
