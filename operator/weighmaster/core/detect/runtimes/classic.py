"""Servers of other models, and platforms that serve many kinds."""

from weighmaster.core.detect.runtimes.table import BASE, TOKENIZER, Runtime, options
from weighmaster.core.values import Role

TRITON = Runtime(
    name="triton",
    options=options(
        BASE, "model-repository model-repo model-store triton-model-repo-dir model-repo-dir"
    ),
    bare="path",
)

TF_SERVING = Runtime(
    name="tensorflow-serving",
    options=options(BASE, "model-base-path"),
    bare="path",
    absent="image",
    directory="/models/$MODEL_NAME",
)

TORCHSERVE = Runtime(
    name="torchserve",
    options=options(BASE, "model-store"),
    lists={"models": BASE},
    variables=options(BASE, "TS_MODEL_STORE"),
    bare="path",
    absent="image",
    directory="/home/model-server/model-store",
)

MLSERVER = Runtime(
    name="mlserver",
    variables=options(BASE, "MLSERVER_MODEL_URI"),
    subcommands=frozenset({"start"}),
    positional=True,
    bare="path",
    absent="dynamic",
    directory="/mnt/models",
)

MLFLOW = Runtime(
    name="mlflow",
    options=options(BASE, "m model-uri"),
    subcommands=frozenset({"models serve", "models", "deployments", "models predict"}),
    variables=options(BASE, "MLFLOW_MODEL_URI"),
    bare="path",
)

BENTO = Runtime(
    name="bentoml",
    positional=True,
    subcommands=frozenset({"serve", "serve-http", "serve-grpc", "start", "serve-gen-ai"}),
    variables=options(BASE, "BENTO_MODEL_ID"),
    bare="path",
    absent="image",
)

OPENVINO = Runtime(
    name="openvino-model-server",
    options=options(BASE, "model-path source-model model-repository-path"),
    bare="path",
    absent="image",
)

ONNX = Runtime(name="onnxruntime-server", options=options(BASE, "model-path"), bare="path")

DJL = Runtime(
    name="djl-serving",
    variables=options(BASE, "HF_MODEL_ID OPTION_MODEL_ID SERVING_LOAD_MODELS MODEL_ID"),
    options=options(BASE, "m model-store models"),
    revisions={"OPTION_REVISION": BASE, "HF_REVISION": BASE, "HF_MODEL_REVISION": BASE},
    remote_code=frozenset({"OPTION_TRUST_REMOTE_CODE", "HF_TRUST_REMOTE_CODE"}),
    absent="image",
    directory="/opt/ml/model",
)

JETSTREAM = Runtime(
    name="jetstream",
    options={
        **options(BASE, "model-id load-parameters-path checkpoint-path model"),
        **options(TOKENIZER, "tokenizer-path"),
    },
)

WHISPER = Runtime(
    name="whisper",
    options=options(BASE, "model model-id model-path"),
    variables=options(
        BASE,
        "ASR_MODEL ASR_MODEL_PATH WHISPER_MODEL WHISPER__MODEL WHISPER_MODEL_PATH PRELOAD_MODELS",
    ),
    bare="whisper",
    absent="dynamic",
)

MULTIPLE = Runtime(
    name="model-platform",
    options=options(BASE, "model model-path model-name model-uri"),
    variables=options(BASE, "MODELS PRELOAD_MODELS"),
    bare="named",
    absent="dynamic",
)

KSERVE = Runtime(
    name="kserve",
    options={
        **options(BASE, "model-id model-dir storage-uri"),
        **options(TOKENIZER, "tokenizer tokenizer-path"),
    },
    variables=options(BASE, "STORAGE_URI MODEL_ID HF_MODEL_ID"),
    revisions={"model-revision": BASE, "tokenizer-revision": TOKENIZER},
    directory="/mnt/models",
)

CONVERTER = Runtime(
    name="checkpoint-converter",
    options=options(Role.FETCH, "m model-name-or-path input-checkpoint"),
    role=Role.FETCH,
)

EMBEDDED = Runtime(name="model-image", absent="image")
DYNAMIC = Runtime(name="model-platform", absent="dynamic")
