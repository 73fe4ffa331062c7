// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax
import OCI

/// The frontend that a Dockerfile asks for with `# syntax=`. Galley is that frontend for Docker's own names.
enum FrontendImage {
    static func check(_ dockerfile: Dockerfile, _ request: LoweringRequest, _ log: inout DiagnosticCollector) {
        if let asked = request.buildArguments["BUILDKIT_SYNTAX"], !asked.isEmpty {
            guard !isBuiltIn(asked), let range = dockerfile.instructions.first?.range else { return }
            log.report(failure(asked, range), at: range)
        } else if let word = dockerfile.directives.syntax, !isBuiltIn(word.text) {
            log.report(failure(word.text, word.range), at: word.range)
        }
    }

    private static func failure(_ name: String, _ range: SourceRange) -> LoweringFailure {
        .unsupported("the frontend image \(name)", range, nextStep: "Remove the line, or write docker/dockerfile:1.")
    }

    /// Labs and upstream channels speak the same language with additions; what is not known is an error where it stands.
    private static func isBuiltIn(_ text: String) -> Bool {
        // Options for the frontend may follow the name.
        guard let name = text.split(separator: " ").first, name != "dockerfile.v0" else { return true }
        guard let reference = try? Reference(String(name)) else { return false }
        return reference.domain == Reference.defaultDomain
            && ["docker/dockerfile", "docker/dockerfile-upstream"].contains(reference.path)
    }
}
