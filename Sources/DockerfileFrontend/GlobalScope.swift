// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax
import OCI

/// The variables that FROM lines see and that a bare ARG brings into a stage.
struct GlobalScope {
    private(set) var environment = EnvironmentScope()
    /// Names that ARG instructions before the first FROM declare.
    private(set) var declared: Set<String> = []
    /// Nil when no time is asked for.
    private(set) var epoch: PlannedEpoch?
    /// The request's build arguments, SOURCE_DATE_EPOCH as stages may see it.
    private(set) var buildArguments: [String: String]

    init(_ dockerfile: Dockerfile, _ request: LoweringRequest, expander: WordExpander, _ log: inout DiagnosticCollector)
    {
        buildArguments = request.buildArguments
        setAutomatic(request, lastStage: dockerfile.stages.last?.name)
        var epochRange: SourceRange?
        for instruction in dockerfile.globalArguments {
            guard case .arg(let declarations) = instruction.kind else { continue }
            for declaration in declarations {
                let name = declaration.name.text
                declared.insert(name)
                if name == "SOURCE_DATE_EPOCH" { epochRange = instruction.range }
                if let given = request.buildArguments[name] {
                    environment.set(name, given)
                } else if let word = declaration.defaultValue {
                    let scope = environment
                    let value = log.attempt(at: word.range) { () throws(LoweringFailure) in
                        try expander.expand(word, in: scope)
                    }
                    if let value { environment.set(name, value) }
                }
            }
        }
        let name = "SOURCE_DATE_EPOCH"
        guard let value = request.buildArguments[name] ?? environment.value(of: name) else { return }
        let declaredValue = environment.value(of: name)
        environment.remove(name)
        if !value.isEmpty, let range = epochRange ?? dockerfile.instructions.first?.range {
            let reader = EpochReader(
                dockerfile: dockerfile,
                request: request,
                expander: expander,
                environment: environment
            )
            epoch = log.attempt(at: range) { () throws(LoweringFailure) in try reader.plan(value) }
        }
        guard case .seconds(let seconds)? = epoch else {
            buildArguments[name] = nil
            return
        }
        if buildArguments[name] != nil { buildArguments[name] = String(seconds) }
        if declaredValue != nil { environment.set(name, String(seconds)) }
    }

    static let automaticNames: Set<String> = [
        "BUILDPLATFORM", "BUILDOS", "BUILDOSVERSION", "BUILDARCH", "BUILDVARIANT", "TARGETPLATFORM", "TARGETOS",
        "TARGETOSVERSION", "TARGETARCH", "TARGETVARIANT", "TARGETSTAGE",
    ]

    private mutating func setAutomatic(_ request: LoweringRequest, lastStage: String?) {
        let stage = request.target.flatMap { $0.isEmpty ? nil : $0 } ?? lastStage ?? "default"
        set(request.buildPlatform, prefix: "BUILD", request)
        set(request.targetPlatform, prefix: "TARGET", request)
        environment.set("TARGETSTAGE", request.buildArguments["TARGETSTAGE"] ?? stage)
    }

    private mutating func set(_ platform: Platform, prefix: String, _ request: LoweringRequest) {
        let values = [
            ("PLATFORM", platform.description), ("OS", platform.os), ("OSVERSION", platform.osVersion ?? ""),
            ("ARCH", platform.architecture), ("VARIANT", platform.variant ?? ""),
        ]
        for (name, value) in values {
            environment.set(prefix + name, request.buildArguments[prefix + name] ?? value)
        }
    }
}

extension WordExpander {
    /// The expanded word; what is wrong is said about its range.
    func expand(_ word: Word, in environment: EnvironmentScope) throws(LoweringFailure) -> String {
        do throws(ExpansionError) {
            return try expand(word.text, environment: environment)
        } catch {
            throw LoweringFailure("failed to process \(goQuoted(word.text)): \(error.message)", word.range)
        }
    }
}
