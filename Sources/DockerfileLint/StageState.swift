// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax
import OCI

/// What is known of a stage at one of its instructions.
struct StageState {
    var variables = Variables()
    /// False on top of an image whose config is not known: any variable may be set.
    var knowsVariables = true
    /// ARG names of this stage and those below it.
    var declared: Set<String> = []
    var hasShell = false
    var hasWorkdir = false
    /// The last CMD, ENTRYPOINT and HEALTHCHECK of the stage itself.
    var last: [Keyword: ClosedRange<Int>] = [:]

    /// A stage on top of an image, or of nothing.
    init(_ config: ImageConfig?) {
        for entry in config?.env ?? [] { variables.set(entry: entry) }
        hasShell = !(config?.shell ?? []).isEmpty
        setDefaultPath()
    }

    /// A stage on top of another one.
    init(above base: StageState) {
        self = base
        last = [:]
        setDefaultPath()
    }

    private mutating func setDefaultPath() {
        guard variables.value(of: "PATH") == nil else { return }
        variables.set("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    }
}

/// What a stage says of itself to an outline.
struct StageOutline {
    var arguments: [String: ArgumentInfo] = [:]
    var used: Set<String> = []
    var secrets: [Outline.Mount] = []
    var agents: [Outline.Mount] = []

    /// The used arguments and those that their defaults are made of.
    var allUsed: Set<String> {
        var found: Set<String> = []
        var pending = Array(used)
        while let name = pending.popLast() {
            guard found.insert(name).inserted else { continue }
            pending += arguments[name]?.uses ?? []
        }
        return found
    }
}
