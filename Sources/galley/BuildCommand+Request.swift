// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import Builder
import DockerfileFrontend
import OCI
import ProgressUI

extension BuildCommand {
    /// What the engine is asked for. Reads nothing but `environment`.
    func request(_ input: BuildInput, environment: [String: String]) throws -> BuildRequest {
        var request = BuildRequest(context: input.context, recipe: input.recipe)
        request.namedContexts = namedContexts
        try limits.refuse()
        try access.apply(to: &request)
        for text in tags {
            // No name of an image holds this sign.
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            if parts.count == 2 {
                request.targetTags[parts[0], default: []].append(try newName(parts[1]))
            } else {
                request.tags.append(try newName(text))
            }
        }
        request.targets = targets
        for text in buildArguments {
            let (key, value) = try keyValue(text, of: "--build-arg")
            // As docker: a name that the environment does not have is as if it had not been given.
            request.buildArguments[key] = value ?? environment[key]
        }
        // As buildx: reproducible-builds.org has it set once, for all tools.
        if request.buildArguments["SOURCE_DATE_EPOCH"] == nil, let epoch = environment["SOURCE_DATE_EPOCH"],
            !epoch.isEmpty
        {
            request.buildArguments["SOURCE_DATE_EPOCH"] = epoch
        }
        request.labels = try labels.map { text in
            let (key, value) = try keyValue(text, of: "--label")
            return LoweringRequest.Label(key: key, value: value ?? "")
        }
        let stages = noCacheFilter.flatMap { $0.split(separator: ",").map(String.init) }
        request.noCache = noCache ? .all : stages.isEmpty ? .none : .stages(Set(stages))
        request.verifiesReproducibility = verifyReproducible
        request.pulls = pull
        request.platforms = try galley.platforms(platforms)
        guard let network = ExecOp.Network(rawValue: network) else {
            throw invalidValue("network mode \"\(network)\" is not supported", "use default, none or host")
        }
        request.network = network
        request.extraHosts = try addHosts.map(hostEntry)
        request.ulimits = try ulimits.map(ulimit)
        request.sharedMemorySize = try sharedMemorySize.map(byteSize)
        if let parallel, parallel < 1 { throw invalidValue("--parallel must be at least 1") }
        request.parallelism = parallel
        request.outputs = outputs
        request.pushes = push
        request.loads = load
        return request
    }

    /// `--progress`, else `BUILDKIT_PROGRESS`; `--quiet` before both.
    func progressMode(_ variable: String?) throws -> ProgressMode {
        if quiet { return .quiet }
        let text = progress ?? variable.flatMap { $0.isEmpty ? nil : $0 } ?? "auto"
        guard let mode = ProgressMode(rawValue: text) else {
            throw invalidValue("invalid progress mode \"\(text)\"", "use auto, tty, plain, rawjson or quiet")
        }
        return mode
    }

    /// Whether an output's bytes go where the image's id would.
    var writesToStandardOutput: Bool {
        outputs.contains { $0 == "-" || $0.split(separator: ",").contains("dest=-") }
    }
}
