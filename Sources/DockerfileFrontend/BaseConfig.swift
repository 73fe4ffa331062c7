// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import OCI

/// The config with which a stage begins.
enum BaseConfig {
    static let defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    private static let imageKeys: Set<String> = [
        "author", "architecture", "os", "os.version", "os.features", "variant", "config", "rootfs", "history",
    ]
    private static let runtimeKeys: Set<String> = [
        "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal",
        "ArgsEscaped", "Healthcheck", "OnBuild", "Shell",
    ]

    /// `FROM scratch`.
    static func scratch(_ platform: Platform) -> ImageConfig {
        var config = ImageConfig(platform: platform)
        config.workingDirectory = "/"
        config.env = [defaultPath]
        return config
    }

    /// What a child takes over from a base image. How the base was built (`container_config`, `docker_version` and the
    /// like) says nothing about the child, so only what is known to describe an image stays.
    static func inherited(from image: ImageConfig) -> ImageConfig {
        var config = image
        let document = image.document.objectValue ?? [:]
        config.document = .object(document.filter { imageKeys.contains($0.key) && $0.value != .null })
        let runtime = config.document["config"]?.objectValue ?? [:]
        config.document["config"] = .object(
            runtime.filter { runtimeKeys.contains($0.key) && ![.null, .array([]), .object([:])].contains($0.value) }
        )
        config.history = matched(image.history, layers: image.diffIDs.count)
        addDefaultPath(&config)
        if !config.workingDirectory.isEmpty, config.workingDirectory.utf8.first != UInt8(ascii: "/") {
            config.workingDirectory = ContextPath.absolute(config.workingDirectory)
        }
        return config
    }

    static func addDefaultPath(_ config: inout ImageConfig) {
        if config.environment("PATH") == nil { config.env.append(defaultPath) }
    }

    /// History with exactly one entry a layer besides the empty ones, so that entries added later meet their layers.
    private static func matched(_ history: [History], layers: Int) -> [History] {
        var remaining = layers
        var result = history.map { entry in
            guard !entry.emptyLayer else { return entry }
            if remaining > 0 {
                remaining -= 1
                return entry
            }
            var entry = entry
            entry.document["empty_layer"] = true
            return entry
        }
        for _ in 0..<remaining {
            result.append(History(created: nil, createdBy: "", comment: "layer of the base image"))
        }
        return result
    }
}
