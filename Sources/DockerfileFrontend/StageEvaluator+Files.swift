// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import DockerfileSyntax
import OCI

extension StageEvaluator {
    mutating func evaluateCopy(_ transfer: FileTransfer, _ step: StageInstruction) throws(LoweringFailure) {
        let owner = try transfer.chown.map { word throws(LoweringFailure) in try expand(word) } ?? ""
        let mode = try transfer.chmod.map { word throws(LoweringFailure) in try expand(word) } ?? ""
        let checksum = try transfer.checksum.map { word throws(LoweringFailure) in try expand(word) } ?? ""
        var shown: [String] = []
        for word in transfer.sources.paths { shown.append(try expand(word)) }
        let target = try expand(transfer.destination)
        let permissions = mode.isEmpty ? nil : try FileTransfer.permissions(mode, at: transfer.chmod?.range)
        let destination = ContextPath.destination(target, in: workingDirectory)
        let prototype = FileCopy(
            input: 0,
            source: "/",
            destination: destination,
            owner: owner.isEmpty ? nil : FileOwner(owner),
            permissions: permissions,
            destinationIsDirectory: destination.hasSuffix("/") || transfer.sources.count > 1,
            excludePatterns: transfer.excludes.map(\.text)
        )
        var locations: [(location: CopyLocation, range: SourceRange)] = []
        for (source, text) in zip(transfer.sources.paths, shown) {
            locations.append((try transfer.location(text, at: source.range), source.range))
        }
        if !checksum.isEmpty { try transfer.checkChecksum(locations.map(\.location)) }
        // BuildKit shows and stores a URL's password and query; here names and history never have them.
        let text = shownText(displayText(step.instruction.original, expander, plan.environment))
        let name = namer.next(
            text,
            isTrigger: step.isTrigger,
            environment: plan.environment
        )
        var actions: [PlannedAction] = []
        for (location, range) in locations {
            do throws(LoweringFailure) {
                actions.append(try copy(location, transfer, prototype, step, name, checksum))
            } catch {
                throw error.range == nil ? LoweringFailure(error.message, range) : error
            }
        }
        for case .heredoc(let heredoc) in transfer.sources {
            shown.append("<<" + heredoc.name)
            actions.append(try copy(heredoc, prototype))
        }
        var words = [transfer.isAdd ? "ADD" : "COPY"]
        if transfer.keepsParents { words.append("--parents") }
        if !owner.isEmpty { words.append("--chown=" + owner) }
        if !mode.isEmpty { words.append("--chmod=" + mode) }
        let work: PlannedStep.Work
        if transfer.isLinked, mode.isEmpty {
            // BuildKit makes the new mode part of the tree below, so that only a plain copy has it.
            let linked = namer.again("LINK " + text, isTrigger: step.isTrigger, environment: plan.environment)
            work = .linkedFiles(actions, metadata(linked, step))
        } else {
            work = .files(actions)
        }
        add(
            work,
            named: name,
            step,
            createdBy: (words + shown.map(shownURL) + [target, "# buildkit"]).joined(separator: " ")
        )
    }

    private mutating func copy(
        _ location: CopyLocation,
        _ transfer: FileTransfer,
        _ prototype: FileCopy,
        _ step: StageInstruction,
        _ name: String,
        _ checksum: String
    ) throws(LoweringFailure) -> PlannedAction {
        var copy = prototype
        switch location {
        case .git(let reference):
            copy.allowsWildcards = false
            let op = try transfer.gitOp(reference, checksum: checksum)
            return .copy(copy, from: .remote(.git(op), metadata(name, step)))
        case .web(let url):
            let op = try HTTPOp(adding: url, checksum: checksum)
            copy.source = "/" + (op.fileName ?? "")
            copy.allowsWildcards = false
            copy.unpacksArchives = transfer.unpacks ?? false
            return .copy(copy, from: .remote(.http(op), metadata(name, step)))
        case .path(let source):
            copy.source = ContextPath.absolute(source)
            copy.unpacksArchives = transfer.unpacks ?? transfer.isAdd
            if transfer.keepsParents { copy.parentsPivot = ContextPath.pivot(of: source) }
            note(copy.source, in: step.copyOrigin)
            return .copy(copy, from: .origin(step.copyOrigin))
        }
    }

    private func copy(_ heredoc: Heredoc, _ prototype: FileCopy) throws(LoweringFailure) -> PlannedAction {
        guard ContextPath.isFileName(heredoc.name) else {
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
        let text = try expand(word)
        let path = ContextPath.absolute(text, in: workingDirectory)
        // An absolute path stays as written, as in BuildKit.
        let isAbsolute = text.utf8.first == UInt8(ascii: "/")
        plan.config.workingDirectory = isAbsolute ? text : path
        let createdBy = "WORKDIR " + plan.config.workingDirectory
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
