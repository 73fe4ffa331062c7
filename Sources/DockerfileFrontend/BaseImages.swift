// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax
import OCI

/// Resolves the images of stages, each once, all at the same time.
struct BaseImages {
    private(set) var resolved: [ImageKey: ResolvedImage] = [:]

    /// Resolves what the stages name and is not known yet. The first failure stops the others.
    mutating func resolve(_ stages: StageGraph, with resolver: any ImageResolver) async throws {
        var words: [ImageKey: Word] = [:]
        for node in stages.reachable {
            for (key, word) in node.imageKeys where resolved[key] == nil && words[key] == nil { words[key] = word }
        }
        guard !words.isEmpty else { return }
        let found = try await withThrowingTaskGroup(of: (ImageKey, ResolvedImage).self) { group in
            for (key, word) in words {
                group.addTask {
                    do {
                        let image = try await resolver.resolveImage(
                            key.reference,
                            platform: key.platform,
                            layout: key.layout
                        )
                        return (key, image)
                    } catch let error as CancellationError {
                        throw error
                    } catch {
                        throw Self.failure(key, word, stages, cause: error)
                    }
                }
            }
            return try await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
        }
        resolved.merge(found) { _, new in new }
    }

    private static let commonImages = ["alpine", "busybox", "centos", "debian", "fedora", "golang", "ubuntu"]

    private static func failure(
        _ key: ImageKey,
        _ word: Word,
        _ stages: StageGraph,
        cause: any Error
    ) -> ImageResolutionError {
        let message = withSuggestion(
            "\(word.text): failed to resolve source metadata for \(key.reference): \(cause)",
            for: word.text,
            among: stages.stageNames + commonImages
        )
        // A stage of that name further down was not meant by this line, but by its author perhaps.
        let notes = stages.stages(named: word.text).map {
            "The stage \(word.text) is defined on line \($0.instruction.range.start.line), after this line, so the "
                + "name is taken as an image."
        }
        let diagnostic = Diagnostic(.semantic, message, range: word.range, notes: notes)
        return ImageResolutionError(
            reference: key.reference,
            diagnostics: DockerfileDiagnostics([diagnostic], source: stages.dockerfile.source),
            cause: cause
        )
    }
}
