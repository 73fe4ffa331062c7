// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import DockerfileFrontend
import DockerfileSyntax
import LinuxSystem
import OCI

/// A value of `--build-context`: `name=directory`, `name=docker-image://...`, and so on.
struct NamedContextOption {
    /// In lower case, as Docker writes image names in short; for one platform with `::os/arch` behind it.
    let name: String
    let source: Source

    enum Source {
        /// An absolute path.
        case directory(String)
        case other(ContextSource)
    }

    init(_ text: String) throws {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, !parts[1].isEmpty else {
            throw BuilderError(
                .invalidRequest,
                "invalid context value: \(text), expected key=value",
                nextStep: "for example --build-context lib=../lib or --build-context base=docker-image://alpine"
            )
        }
        name = try Self.name(parts[0])
        source = try Self.source(parts[1], of: name)
    }

    private static func name(_ text: String) throws -> String {
        let halves = text.lowercased().split(separator: "::", maxSplits: 1, omittingEmptySubsequences: false)
        var reference: Reference
        do {
            reference = try Reference(String(halves[0]))
        } catch {
            throw BuilderError(
                .invalidRequest,
                "invalid context name \(text): \(error)",
                nextStep: "a name is that of a stage or an image, in letters, digits, '.', '_', '-' and '/'"
            )
        }
        if reference.tag == "latest" { reference.tag = nil }
        guard halves.count > 1 else { return reference.familiar }
        do {
            return "\(reference.familiar)::\(try Platform(String(halves[1])))"
        } catch {
            throw BuilderError(.invalidRequest, "invalid context name \(text): \(error)")
        }
    }

    private static func source(_ text: String, of name: String) throws -> Source {
        let what = "failed to get build context \(name)"
        if let reference = text.removing(prefix: "docker-image://") {
            do {
                return .other(.image(try Reference(reference)))
            } catch {
                throw BuilderError(
                    .invalidRequest,
                    "\(what): \(error)",
                    nextStep: "after docker-image:// stands an image's name, as FROM has it"
                )
            }
        }
        if let layout = text.removing(prefix: "oci-layout://") {
            return .other(try ImageLayout.contextSource(layout, name: name))
        }
        if let stage = text.removing(prefix: "target:") {
            guard !stage.isEmpty else {
                throw BuilderError(
                    .invalidRequest,
                    "\(what): target: names no stage",
                    nextStep: "after target: stands the name of a stage of the Dockerfile"
                )
            }
            return .other(.stage(stage))
        }
        switch try ContextLocation(text, what: what) {
        case .directory(let path): return .directory(path)
        case .git(let reference): return .other(.git(GitOp(reference)))
        case .web(let url): return .other(.http(HTTPOp(url: url, fileName: "context")))
        }
    }
}

extension String {
    func removing(prefix: String) -> String? { hasPrefix(prefix) ? String(dropFirst(prefix.count)) : nil }
}
