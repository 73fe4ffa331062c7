// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import BuildDefinition
import DockerfileSyntax
import LinuxSystem
import OCI

extension ContextScan {
    /// Scans on the calling thread.
    func scanBlocking(_ cancellation: CancellationFlag) throws -> ContextTree {
        guard let directory = environment.directories[op.name] else {
            throw BuildOpsError(.invalidRequest, "the build names no directory \"\(op.name)\"")
        }
        let root: SharedFD
        do throws(SystemError) {
            root = try open(directory.path, [.directory]).shared()
        } catch {
            throw BuildOpsError(
                .contextUnreadable,
                "unable to prepare context: path \"\(directory.path)\": \(error.reason)",
                nextStep: "give a directory that exists and can be read"
            )
        }
        let ignore: IgnoreMatcher
        do {
            ignore = try IgnoreMatcher(op.excludePatterns)
        } catch {
            throw BuildOpsError(.invalidRequest, ".dockerignore: \(error)")
        }
        let known = directory.isTransient ? FileDigests() : try environment.fileDigests.load(directory.path.description)
        var scanner = ContextScanner(
            name: op.name,
            root: root,
            ignore: ignore,
            followPaths: op.followPaths,
            known: known,
            checkCancellation: cancellation.check
        )
        let tree = try scanner.scan()
        if directory.isTransient { return tree }
        let next = scanner.digestsToKeep(of: tree)
        if next.isNews { try environment.fileDigests.save(directory.path.description, next) }
        return tree
    }
}
