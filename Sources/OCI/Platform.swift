// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// An operating system and processor, in the names that Go and the OCI specification use.
public struct Platform: Hashable, Sendable, CustomStringConvertible {
    public var os: String
    public var architecture: String
    public var variant: String?
    public var osVersion: String?
    public var osFeatures: [String]?

    public init(os: String, architecture: String, variant: String? = nil) {
        self.os = os
        self.architecture = architecture
        self.variant = variant
    }

    /// Parses `os/arch[/variant]`, or one of the two alone (`arm64`, `linux`), normalising aliases (`x86_64`, `aarch64`).
    public init(_ text: String) throws(OCIError) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map { $0.lowercased() }
        guard (1...3).contains(parts.count), parts.allSatisfy({ !$0.isEmpty && $0.allSatisfy(Self.isNameCharacter) })
        else {
            throw OCIError(
                .invalidPlatform,
                "\"\(text)\" is not a platform: expected os/arch[/variant], like linux/amd64"
            )
        }
        if parts.count == 1, ["linux", "windows", "darwin", "freebsd"].contains(parts[0]) {
            self.init(os: parts[0], architecture: Self.host.architecture)
            return
        }
        let os = parts.count == 1 ? "linux" : parts[0]
        let (architecture, implied) = Self.normalise(parts.count == 1 ? parts[0] : parts[1])
        self.init(os: os, architecture: architecture, variant: parts.count == 3 ? parts[2] : implied)
        if self.architecture == "arm64", self.variant == "v8" || self.variant == "8" { self.variant = nil }
        if self.architecture == "amd64", self.variant == "v1" { self.variant = nil }
        if self.architecture == "arm", let variant = self.variant, !variant.hasPrefix("v") {
            self.variant = "v" + variant
        }
    }

    /// The platform this process runs on.
    public static var host: Platform {
        #if arch(x86_64)
        Platform(os: "linux", architecture: "amd64")
        #elseif arch(arm64)
        Platform(os: "linux", architecture: "arm64")
        #else
        #error("add the OCI name of this architecture")
        #endif
    }

    public var description: String {
        variant.map { "\(os)/\(architecture)/\($0)" } ?? "\(os)/\(architecture)"
    }

    /// Whether an image for `offered` runs where `self` is asked for.
    public func accepts(_ offered: Platform) -> Bool {
        let (wanted, given) = (comparable, offered.comparable)
        guard os == offered.os, wanted.architecture == given.architecture else { return false }
        if wanted.variant == given.variant { return true }
        guard let wantedLevel = wanted.level, let givenLevel = given.level else { return false }
        return givenLevel <= wantedLevel
    }

    /// Orders the platforms that `accepts` let through: higher is a closer match.
    public func preference(for offered: Platform) -> Int {
        let (wanted, given) = (comparable, offered.comparable)
        if wanted.variant == given.variant { return 100 }
        return given.level ?? 0
    }

    /// Architecture and variant under their usual names, the variant that an empty one stands for filled in: manifests
    /// hold `x86_64` and `aarch64` too, and `arm64` with and without `v8`.
    private var comparable: (architecture: String, variant: String?, level: Int?) {
        let (architecture, implied) = Self.normalise(self.architecture.lowercased())
        var variant = self.variant.flatMap { $0.isEmpty ? nil : $0.lowercased() } ?? implied
        switch architecture {
        case "amd64": variant = variant ?? "v1"
        case "arm64": variant = variant ?? "v8"
        case "arm": variant = variant ?? "v7"
        default: return (architecture, variant, nil)
        }
        if let text = variant, !text.utf8.starts(with: "v".utf8) { variant = "v" + text }
        // Within these a processor runs the code of every lower level.
        return (architecture, variant, variant.flatMap { Int($0.dropFirst()) })
    }

    private static func isNameCharacter(_ character: Character) -> Bool {
        character.isASCII && (character.isLetter || character.isNumber || "._-".contains(character))
    }

    private static func normalise(_ architecture: String) -> (String, variant: String?) {
        switch architecture {
        case "x86_64", "x86-64": ("amd64", nil)
        case "aarch64": ("arm64", nil)
        case "armhf": ("arm", "v7")
        case "armel": ("arm", "v6")
        case "i386", "i486", "i586", "i686": ("386", nil)
        default: (architecture, nil)
        }
    }
}

extension Platform: Codable {
    private enum CodingKeys: String, CodingKey {
        case os, architecture, variant
        case osVersion = "os.version"
        case osFeatures = "os.features"
    }
}
