// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import OCI
import Solver

/// The steps that stand for contexts, each narrowed to what is read of it.
struct ContextSteps {
    private let request: LoweringRequest
    let contexts: NamedContexts
    private let paths: [String?: [String]]

    /// - Parameter paths: what steps read, by context; nil is the build context.
    init(_ request: LoweringRequest, _ contexts: NamedContexts, paths: [String?: [String]]) {
        self.request = request
        self.contexts = contexts
        self.paths = paths
    }

    /// Adds what stands for the context.
    func add(_ name: String?, to graph: inout BuildGraph) -> VertexID? {
        let source = name.map { contexts[$0] } ?? request.context
        switch source {
        case .local(let directory, let patterns):
            let shown = name.map { "[context \($0)] load from client" } ?? "[internal] load build context"
            let op = LocalOp(name: directory, followPaths: followPaths(name), excludePatterns: patterns)
            return graph.add(.local(op), metadata: .init(name: shown))
        case .git(let op):
            let shown = "[internal] load git source \(op.shown)"
            return graph.add(.git(name == nil ? main(op) : op), metadata: .init(name: shown))
        case .http(let op): return graph.add(.http(op), metadata: .init(name: httpName(name, op)))
        case .archive(let op):
            let file = graph.add(.http(op), metadata: .init(name: httpName(name, op)))
            let path = "/" + (op.fileName ?? HTTPOp.fileName(of: op.url))
            let copy = FileCopy(
                input: 0,
                source: path,
                allowsWildcards: false,
                destination: "/",
                unpacksArchives: true,
                destinationIsDirectory: true
            )
            return graph.add(
                .file(FileOp(actions: [.copy(copy)], hasBase: false)),
                inputs: [file],
                metadata: .init(name: "copy \(path) /")
            )
        case nil, .image, .layout, .stage: return nil
        }
    }

    /// Adds what the context's time is asked of: for an archive, what brings it.
    func addTimeSource(_ name: String?, to graph: inout BuildGraph) -> VertexID? {
        guard case .archive(let op)? = name.map({ contexts[$0] }) ?? request.context else {
            return add(name, to: &graph)
        }
        return graph.add(.http(op), metadata: .init(name: httpName(name, op)))
    }

    private func httpName(_ name: String?, _ op: HTTPOp) -> String {
        name.map { "[context \($0)] \(shownURL(op.url))" } ?? "[internal] load remote build context"
    }

    /// What the request says of the build context's repository besides its address.
    private func main(_ op: GitOp) -> GitOp {
        var op = op
        if request.buildArguments["SOURCE_DATE_EPOCH"]?.isEmpty == false { op.modificationTime = .commit }
        if ["1", "t", "T", "true", "TRUE", "True"].contains(request.buildArguments["BUILDKIT_CONTEXT_KEEP_GIT_DIR"]) {
            op.keepsGitDirectory = true
        }
        return op
    }

    private func followPaths(_ name: String?) -> [String] {
        // Names that Unicode calls equal are different files.
        let relative = Set((paths[name] ?? []).map { Array($0.utf8.dropFirst()) })
        let sorted = relative.contains([]) ? [] : relative.sorted { $0.lexicographicallyPrecedes($1) }
        return sorted.map { String(decoding: $0, as: UTF8.self) }
    }
}

extension NamedContexts {
    /// What the step is called that brings the image which the context names.
    func imageName(_ context: String) -> String {
        guard case .image(let reference)? = self[context] else { return "[context \(context)] OCI load from client" }
        return "[context \(context)] \(reference.familiar)"
    }
}

extension GitOp {
    /// The repository and what of it is wanted.
    var shown: String {
        let remote = shownURL(remote)
        guard reference != nil || subdirectory != nil else { return remote }
        return "\(remote)#\(reference ?? "")" + (subdirectory.map { ":" + $0 } ?? "")
    }
}
