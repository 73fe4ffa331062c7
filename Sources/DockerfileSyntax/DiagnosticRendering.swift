// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

extension Diagnostic {
    /// The lines around the mistake, marked and with a caret, then the notes: for a terminal, with a final newline.
    public func render(in source: SourceText) -> String {
        fatalError("not yet")
    }

    public func render(in dockerfile: Dockerfile) -> String { render(in: dockerfile.source) }
}

extension DockerfileDiagnostics {
    /// Every diagnostic with its excerpt.
    public func render() -> String {
        diagnostics.map { $0.render(in: source) }.joined(separator: "\n")
    }
}
