// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import BuildOps
import Content
import DockerfileFrontend
import DockerfileSyntax
import LinuxSystem
import OCI
import Snapshots

/// The contexts of a build, found and as far as needed fetched, and the Dockerfile.
struct LoadedContexts {
    let recipe: Recipe
    let main: ContextSource
    let named: [String: ContextSource]
    /// What steps work with; it knows the directories.
    let environment: StepEnvironment
}

/// Finds the contexts of a request and reads the Dockerfile.
struct ContextLoader {
    let request: BuildRequest
    let store: Store
    let events: StepEvents
    let web: WebFiles

    private static let mainName = "context"

    /// - Parameter base: knows everything but the directories.
    func load(_ base: StepEnvironment) async throws -> LoadedContexts {
        var environment = base
        let options = try request.namedContexts.map(NamedContextOption.init)
        var named: [String: ContextSource] = [:]
        for option in options {
            switch option.source {
            case .other(let source): named[option.name] = source
            case .directory(let path):
                let name = "context:\(option.name)"
                environment.directories[name] = .init(path: RawPath(path))
                let patterns = try await blocking { try RecipeReader.ignorePatterns(context: path) }
                named[option.name] = .local(name: name, ignorePatterns: patterns)
            }
        }
        let (recipe, main) = try await loadMain(&environment)
        return LoadedContexts(recipe: recipe, main: main, named: named, environment: environment)
    }

    private func loadMain(_ environment: inout StepEnvironment) async throws -> (Recipe, ContextSource) {
        switch request.context {
        case .stream(let stream):
            return try await load(stream, &environment)
        case .location(let text):
            switch try ContextLocation(text, what: "unable to prepare context") {
            case .directory(let path): return try await load(directory: path, &environment)
            case .git(let reference): return try await load(git: reference, environment)
            case .web(let url): return try await load(web: url, environment)
            }
        }
    }

    // MARK: Directories

    private func load(
        directory: String,
        _ environment: inout StepEnvironment
    ) async throws -> (Recipe, ContextSource) {
        environment.directories[Self.mainName] = .init(path: RawPath(directory))
        let recipe: Recipe
        if let given = try await given() { recipe = given } else { recipe = try await local(nil, directory) }
        let patterns = try await events.step("[internal] load .dockerignore") { _ in
            try await blocking { try RecipeReader.ignorePatterns(recipe, context: directory) }
        }
        return (recipe, .local(name: Self.mainName, ignorePatterns: patterns))
    }

    private func local(_ path: String?, _ context: String) async throws -> Recipe {
        try await events.step("[internal] load build definition from \(path ?? "Dockerfile")") { _ in
            try await blocking { try RecipeReader.local(path, context: context) }
        }
    }

    /// The Dockerfile when it does not come from the context.
    ///
    /// - Parameter isRemote: a relative path is one inside the context.
    private func given(isRemote: Bool = false) async throws -> Recipe? {
        switch request.recipe {
        case .text(let bytes):
            return try await events.step("[internal] load build definition from Dockerfile") { _ in
                Recipe(name: "Dockerfile", bytes: bytes)
            }
        case .file(nil): return nil
        case .file(let path?):
            if ContextLocation.isWebAddress(path) { return try await download(path) }
            return isRemote && !path.hasPrefix("/") ? nil : try await local(path, "")
        }
    }

    private var pathInside: String? { if case .file(let path) = request.recipe { path } else { nil } }

    private func download(_ url: String) async throws -> Recipe {
        try await events.step("[internal] load build definition from \(shownURL(url))") { _ in
            let bytes = try await web.fetch(WebRequest(url: url)) { _, body in
                var bytes: [UInt8] = []
                while let chunk = try await body.receive() {
                    bytes += chunk
                    guard bytes.count <= RecipeReader.limit else {
                        throw BuilderError(
                            .invalidRequest,
                            "the Dockerfile at \(shownURL(url)) is larger than \(RecipeReader.limit >> 20) MiB"
                        )
                    }
                }
                return bytes
            }
            return Recipe(name: "Dockerfile", bytes: bytes)
        }
    }

    // MARK: Standard input

    private func load(
        _ stream: SharedFD,
        _ environment: inout StepEnvironment
    ) async throws -> (Recipe, ContextSource) {
        let directory = try store.root.makeTemporaryDirectory("context")
        // What is read from standard input is different each time and need not be remembered.
        environment.directories[Self.mainName] = .init(path: directory, isTransient: true)
        let source = ContextSource.local(name: Self.mainName, ignorePatterns: [])
        let loaded = try await events.step("[internal] load remote build context") { _ in
            try await StreamedContext(stream).load(into: directory)
        }
        switch loaded {
        case .dockerfile(let bytes):
            guard case .file(nil) = request.recipe else {
                throw BuilderError(
                    .invalidRequest,
                    "ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles",
                    nextStep: "leave out -f, or give a directory or an archive as the context"
                )
            }
            let recipe = try await events.step("[internal] load build definition from Dockerfile") { _ in
                Recipe(name: "Dockerfile", bytes: bytes)
            }
            return (recipe, source)
        case .archive:
            if let recipe = try await given(isRemote: true) { return (recipe, source) }
            let path = pathInside
            let recipe = try await events.step("[internal] load build definition from \(path ?? "Dockerfile")") { _ in
                try await blocking {
                    let root = try open(directory, [.directory])
                    return try RecipeReader.inside(root.raw, path, what: "the archive")
                }
            }
            return (recipe, source)
        }
    }

    // MARK: Other machines

    private func load(
        git reference: GitReference,
        _ environment: StepEnvironment
    ) async throws -> (Recipe, ContextSource) {
        let keeps = request.buildArguments["BUILDKIT_CONTEXT_KEEP_GIT_DIR"] ?? ""
        let op = GitOp(
            reference,
            keepsGitDirectory: ["1", "t", "T", "true", "TRUE", "True"].contains(keeps),
            usesCommitTime: !(request.buildArguments["SOURCE_DATE_EPOCH"] ?? "").isEmpty
        )
        if let recipe = try await given(isRemote: true) { return (recipe, .git(op)) }
        let subject = op.reference.map { "#\($0)" } ?? ""
        let step = BuildStep(
            BuildVertex(
                op: .git(op),
                inputs: [],
                metadata: .init(name: "[internal] load git source \(shownURL(op.remote))\(subject)")
            ),
            environment
        )
        let value = try await step.execute(inputs: [])
        return (try await recipe(in: value, environment, "the repository"), .git(op))
    }

    private func load(web url: String, _ environment: StepEnvironment) async throws -> (Recipe, ContextSource) {
        let op = HTTPOp(url: url, fileName: "context")
        let vertex = BuildVertex(
            op: .http(op),
            inputs: [],
            metadata: .init(name: "[internal] load remote build context")
        )
        let value = try await BuildStep(vertex, environment).execute(inputs: [])
        let snapshotter = store.snapshots
        let layers = try await value.layers()
        let bytes = try await blocking { () -> [UInt8]? in
            let tree = try snapshotter.readTree(layers)
            let file = try openInRoot(tree.root.raw, "context", [.readOnly])
            return try StreamedContext.isArchive(file.raw) ? nil : readAll(file.raw, limit: RecipeReader.limit)
        }
        if let bytes {
            let given = try await given(isRemote: true)
            return (given ?? Recipe(name: "Dockerfile", bytes: bytes), .http(op))
        }
        if let recipe = try await given(isRemote: true) { return (recipe, .archive(op)) }
        let unpacked = try await unpack(vertex, environment)
        return (try await recipe(in: unpacked, environment, "the archive"), .archive(op))
    }

    private func recipe(
        in value: StepValue,
        _ environment: StepEnvironment,
        _ what: String
    ) async throws -> Recipe {
        let (path, layers) = (pathInside, try await value.layers())
        let snapshotter = environment.snapshotter
        return try await events.step("[internal] load build definition from \(path ?? "Dockerfile")") { _ in
            try await blocking {
                let tree = try snapshotter.readTree(layers)
                return try RecipeReader.inside(tree.root.raw, path, what: what)
            }
        }
    }
}
