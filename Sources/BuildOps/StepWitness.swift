// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import Solver

/// Is told what steps read, so that a later build can say what changed. Must not block.
public protocol StepWitness: Sendable {
    /// A local directory was scanned.
    func scanned(_ id: VertexID, _ tree: ContextTree)
    /// What a git repository or a web server holds: a commit or a digest, and how else it is told apart.
    func resolved(_ id: VertexID, _ content: String)
    /// A step is about to run on inputs with these results: equal texts mean equal content.
    func willRun(_ id: VertexID, on inputs: [String])
}
