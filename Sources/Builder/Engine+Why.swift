// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import OCI
public import Solver

/// Which build is asked about; the last one that fits.
public struct WhyQuery: Sendable {
    /// A directory, or an address as it was given; nil is any.
    public var context: String?
    /// The path of a Dockerfile; nil is any.
    public var file: String?
    /// Like `linux/arm64`; nil is any.
    public var platform: String?

    public init(context: String? = nil, file: String? = nil, platform: String? = nil) {
        self.context = context
        self.file = file
        self.platform = platform
    }
}

/// What a build did, step by step, and why.
public struct BuildExplanation: Sendable {
    public enum Outcome: String, Sendable {
        case ran, found, failed, cancelled
        /// The build ended before.
        case notReached = "not-reached"
    }

    public struct Step: Sendable {
        public var name: String
        /// Empty for a step of no stage.
        public var stage: String
        public var outcome: Outcome
        /// Nil for a step that did not run, or of which nothing is known.
        public var reason: StepReason?
    }

    public var context: String
    public var dockerfile: String
    public var platform: String
    /// Nil for the last stage.
    public var target: String?
    /// Seconds since 1970.
    public var time: Int64
    public var succeeded: Bool
    /// Inputs first.
    public var steps: [Step]
}

extension Engine {
    /// The last build of this root that fits; nil when there was none, or it was too long ago. Blocks.
    public func why(_ query: WhyQuery) throws -> BuildExplanation? {
        let context = try query.context.map { text in
            switch try? ContextLocation(text, what: "no such context") {
            case .directory(let path)?: path
            case .git?, .web?: shownURL(text)
            // The directory may be gone by now.
            case nil: try absolutePath(text)
            }
        }
        let builds = try store.history.builds(context: context, platform: query.platform, limit: 200)
        let files = try query.file.map { [$0, try absolutePath($0)] }
        let found = builds.first { build in files.map { $0.contains(build.place.dockerfile) } ?? true }
        return found.map { build in
            BuildExplanation(
                context: build.place.context,
                dockerfile: build.place.dockerfile,
                platform: build.place.platform,
                target: build.target,
                time: build.time,
                succeeded: build.succeeded,
                steps: build.steps.map { step in
                    BuildExplanation.Step(
                        name: step.name,
                        stage: step.stage,
                        outcome: BuildExplanation.Outcome(step.outcome),
                        reason: step.reason
                    )
                }
            )
        }
    }
}

extension BuildExplanation.Outcome {
    init(_ outcome: StepRecord.Outcome) {
        self =
            switch outcome {
            case .ran: .ran
            case .found: .found
            case .failed: .failed
            case .cancelled: .cancelled
            case .notReached: .notReached
            }
    }
}
