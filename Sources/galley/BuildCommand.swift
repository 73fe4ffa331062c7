// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import ArgumentParser
import Builder
import Glibc
import LinuxSystem
import OCI
import ProgressUI

struct BuildCommand: EngineCommand {
    static let configuration = CommandConfiguration(
        commandName: "build",
        // ArgumentParser looks for requests of completion scripts only in commands that are nobody's: with it, a cached
        // build takes a tenth longer.
        _superCommandName: "galley",
        abstract: "Build an image from a Dockerfile.",
        usage: "galley build [OPTIONS] PATH | URL | -"
    )

    @OptionGroup var global: GlobalOptions

    @Option(
        name: .letter("t", "tag"),
        parsing: .unconditionalSingleValue,
        help: .init("Name the image; of several targets: stage=name:tag.", value: "name:tag")
    )
    var tags: [String] = []

    @Option(
        name: .letter("f", "file"),
        parsing: .unconditional,
        help: .init("The Dockerfile: a path, a URL, or - for standard input (default: PATH/Dockerfile).", value: "file")
    )
    var file: String?

    @Option(
        name: .customLong("build-context"),
        parsing: .unconditionalSingleValue,
        help: .init(
            "Name a further context: a directory, docker-image://, oci-layout://, a git repository, a URL or target:stage.",
            value: "name=value"
        )
    )
    var namedContexts: [String] = []

    @Option(
        name: .customLong("target"),
        parsing: .unconditionalSingleValue,
        help: .init(
            "Stop at this stage; more than one build an image each, and share what they have in common.",
            value: "stage"
        )
    )
    var targets: [String] = []

    @Option(
        name: .customLong("build-arg"),
        parsing: .unconditionalSingleValue,
        help: .init("Set an ARG; without a value, from the environment.", value: "key[=value]")
    )
    var buildArguments: [String] = []

    @Option(
        name: .customLong("label"),
        parsing: .unconditionalSingleValue,
        help: .init("Set a label of the image.", value: "key=value")
    )
    var labels: [String] = []

    @Flag(name: .customLong("no-cache"), help: "Run every step again.")
    var noCache = false

    @Flag(
        name: .customLong("verify-reproducible"),
        help: "Build twice without cache, and fail when a file of the results differs."
    )
    var verifyReproducible = false

    @Option(
        name: .customLong("no-cache-filter"),
        parsing: .unconditionalSingleValue,
        help: .init("Run the steps of these stages again.", value: "stage")
    )
    var noCacheFilter: [String] = []

    @Flag(help: "Ask registries for base images even when they are in the local store.")
    var pull = false

    @Option(help: .init("How to show progress: auto, tty, plain, rawjson or quiet.", value: "mode"))
    var progress: String?

    @Flag(help: "Say below each step that runs why it was not found in the cache.")
    var explain = false

    @Flag(name: .shortAndLong, help: "Print only the image's id.")
    var quiet = false

    @Option(name: .customLong("iidfile"), help: .init("Write the image's id to a file.", value: "file"))
    var imageIDFile: String?

    @Option(name: .customLong("metadata-file"), help: .init("Write what was built to a file as JSON.", value: "file"))
    var metadataFile: String?

    @Option(
        name: .letter("o", "output"),
        parsing: .unconditionalSingleValue,
        help: .init(
            "Where the result goes: type=image|oci|docker|tar|local|registry|cacheonly,dest=PATH.",
            value: "output"
        )
    )
    var outputs: [String] = []

    @Flag(help: "Push the image to the registries that its names say.")
    var push = false

    @Flag(help: "Keep the image in the local store, beside other outputs.")
    var load = false

    @Option(help: .init("The network of RUN steps: default, none or host.", value: "mode"))
    var network = "default"

    @Option(
        name: .customLong("add-host"),
        parsing: .unconditionalSingleValue,
        help: .init("Add a line to the hosts file of RUN steps.", value: "name:ip")
    )
    var addHosts: [String] = []

    @Option(
        name: .customLong("ulimit"),
        parsing: .unconditionalSingleValue,
        help: .init("Limit a resource of RUN steps.", value: "type=soft[:hard]")
    )
    var ulimits: [String] = []

    @Option(name: .customLong("shm-size"), help: .init("Size of /dev/shm in RUN steps.", value: "size"))
    var sharedMemorySize: String?

    @Option(
        name: .customLong("platform"),
        parsing: .unconditionalSingleValue,
        help: .init("The platforms to build for: one image each, under one name.", value: "os/arch[/variant],...")
    )
    var platforms: [String] = []

    @Option(help: .init("How many RUN steps run at once.", value: "number"))
    var parallel: Int?

    @OptionGroup var access: StepAccess
    @OptionGroup var limits: ResourceLimits

    @OptionGroup var calls: CallOptions

    // Steps leave no containers behind, whatever these say.
    @Flag(name: .customLong("rm"), help: .hidden) var removesContainers = false
    @Flag(name: .customLong("force-rm"), help: .hidden) var alwaysRemovesContainers = false

    @Argument(
        help: .init(
            "The build context: a directory, a git repository, the URL of a tar archive, or - for an archive or a "
                + "Dockerfile on standard input.",
            value: "path"
        )
    )
    var context: String

    func execute(_ session: Session) async throws -> Int32 {
        let mode = try progressMode(session.environment["BUILDKIT_PROGRESS"])
        let input = try BuildInput(
            context: context,
            file: file,
            standardInput: { try standardStream(STDIN_FILENO) }
        )
        var request = try request(input, environment: session.environment)
        if !isTerminal(STDOUT_FILENO) { request.standardOutput = try standardStream(STDOUT_FILENO) }
        let call = try calls.parsed()
        if call != nil, targets.count > 1 { throw invalidValue("--check and --call take one target at a time") }
        if call != nil, verifyReproducible {
            throw invalidValue("--verify-reproducible cannot be used with --check and --call, which build nothing")
        }
        let engine = try session.engine()
        if let call { return try await perform(call, request, engine, mode) }
        do {
            try await build(request, engine, mode, session)
        } catch let error as UserFacingError where error.exitCode > 128 {
            // Whoever interrupted it wants to wait for nothing more.
            throw error
        } catch {
            // What failed takes space too.
            await applySpacePolicy(engine, mode)
            throw error
        }
        await applySpacePolicy(engine, mode)
        return 0
    }

    private func applySpacePolicy(_ engine: Engine, _ mode: ProgressMode) async {
        // A signal ends it early; what became of the build is what counts.
        guard let report = try? await interruptible({ await engine.applySpacePolicy() }),
            !report.removed.isEmpty, mode != .quiet, mode != .rawjson
        else { return }
        let count = report.removed.count == 1 ? "1 entry" : "\(report.removed.count) entries"
        writeError("pruned the cache: \(count), \(humanSize(report.reclaimed)) (galley du shows the rules)\n")
    }

    private func build(_ request: BuildRequest, _ engine: Engine, _ mode: ProgressMode, _ session: Session) async throws
    {
        try discardFormerResult()
        let result = try await withProgress(mode, explains: explain) { display in
            try await engine.build(request, events: display)
        }
        try await keep(result, session.environment["BUILDX_METADATA_WARNINGS"])
        if mode == .quiet, !writesToStandardOutput { try writeOutput(imageIDs(result).map { "\($0)\n" }.joined()) }
        if mode != .quiet, let both = result.reproduced {
            let line =
                "reproducible: both builds gave \(both.isImage ? "the image" : "files with the digest") \(both.digest)\n"
            if writesToStandardOutput { writeError(line) } else { try writeOutput(line) }
        }
    }

    /// A failed build must not leave the id of an earlier one to be read.
    private func discardFormerResult() throws {
        guard let imageIDFile, let former = try? status(at: workingDirectory, RawPath(imageIDFile), following: true),
            former.kind == .regular
        else { return }
        try removeFile(RawPath(imageIDFile))
    }

    private func imageIDs(_ result: BuildResult) -> [Digest] {
        result.targets.isEmpty ? [result.imageID].compactMap(\.self) : result.targets.compactMap(\.imageID)
    }

    /// Writes the files that were asked for.
    ///
    /// - Parameter wantsWarnings: whether the metadata have the warnings, as buildx has it.
    private func keep(_ result: BuildResult, _ wantsWarnings: String?) async throws {
        let ids = imageIDs(result).map(\.description).joined(separator: "\n")
        if let imageIDFile, !ids.isEmpty { try await writeResultFile(imageIDFile, ids) }
        if let metadataFile {
            var metadata = result.metadata.objectValue ?? [:]
            // As of a bake with several targets.
            if !result.targets.isEmpty {
                metadata = Dictionary(result.targets.map { ($0.target, $0.metadata) }, uniquingKeysWith: { $1 })
            }
            if ["1", "t", "true"].contains(wantsWarnings?.lowercased()), !result.warnings.isEmpty {
                metadata["buildx.build.warnings"] = warningsMetadata(result.warnings)
            }
            try await writeResultFile(metadataFile, (indentedJSON(.object(metadata), by: 2) + "\n"))
        }
    }
}
