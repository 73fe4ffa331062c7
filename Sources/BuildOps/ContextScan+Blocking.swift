// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import BuildDefinition
import DockerfileSyntax
import LinuxSystem
import OCI

extension ContextScan {
    /// Scans on the calling thread.
    func scanBlocking() throws -> ContextTree {
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
        let known = try environment.fileDigests.load(directory.path.description)
        var scanner = ContextScanner(root: root, ignore: ignore, followPaths: op.followPaths, known: known)
        let tree = try scanner.scan()
        if scanner.remembered != known {
            // What other builds of this directory read is kept; what was not seen goes when it no longer fits.
            try environment.fileDigests.save(
                directory.path.description,
                scanner.remembered.merging(op.followPaths.isEmpty ? [:] : known, uniquingKeysWith: { new, _ in new })
            )
        }
        return tree
    }
}
