"""Chat templates like those of well-known families, in a few lines."""

from __future__ import annotations

# ChatML that writes tools, calls and results itself, and opens the reasoning when told to.
CHATML_WITH_TOOLS = """\
{%- if tools %}<|im_start|>system
{% if messages[0].role == 'system' %}{{ messages[0].content }}

{% endif %}<tools>
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}</tools><|im_end|>
{% endif %}
{%- for message in messages %}
{%- if message.role == 'tool' %}<|im_start|>user
<tool_response>{{ message.content }}</tool_response><|im_end|>
{% elif not (loop.first and tools and message.role == 'system') %}<|im_start|>{{ message.role }}
{{ message.content }}
{%- for tool_call in message.tool_calls or [] %}
{%- if tool_call.function %}{% set tool_call = tool_call.function %}{% endif %}
<tool_call>{"name": "{{ tool_call.name }}", "arguments": {{ tool_call.arguments | tojson }}}</tool_call>
{%- endfor %}<|im_end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined and enable_thinking %}<think>
{% else %}<think>

</think>

{% endif %}{% endif %}"""

# Mistral's older templates want ids of nine characters.
SHORT_IDS = """\
{%- for message in messages %}{{ message.role }}: {{ message.content }}
{%- for call in message.tool_calls or [] %}
{%- if call.id | length != 9 %}{{ raise_exception('Tool call IDs should have length 9!') }}{% endif %}
[TOOL_CALLS]{{ call.function.name }}[ARGS]{{ call.function.arguments | tojson }}#{{ call.id }}
{%- endfor %}{% if message.role == 'tool' %}#{{ message.tool_call_id }}#{{ message.name }}{% endif %};
{%- endfor %}{{ tools | tojson if tools else '' }}"""

# Llama 3's way: calls are bare JSON, which the system message asks for.
BARE_JSON = """\
{%- for message in messages %}<|{{ message.role }}|>{{ message.content }}
{%- for call in message.tool_calls or [] %}
{"name": "{{ call.function.name }}", "parameters": {{ call.function.arguments | tojson }}}{% endfor %}
{%- endfor %}{% if tools %}{{ tools | tojson }}{% endif %}"""

# Gemma's: no system message at all.
NO_SYSTEM = """\
{%- for message in messages %}
{%- if message.role not in ['user', 'assistant'] %}{{ raise_exception('Unknown role') }}{% endif %}
{%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('No turn') }}{% endif %}
<|{{ message.role }}|>{{ message.content }}{% endfor %}"""

# gpt-oss: messages with headers; the prompt ends within the answer's first one.
HARMONY = """\
{%- for tool in tools or [] %}{{ tool.function.name }};{% endfor %}
{%- for message in messages %}<|start|>{{ message.role }}
{%- if message.role == 'assistant' %}<|channel|>analysis<|message|>{{ message.thinking }}<|end|>{% endif %}
{%- for call in message.tool_calls or [] %} to=functions.{{ call.function.name }}{% endfor -%}
<|message|>{{ message.content }}<|end|>{% endfor %}
{%- if add_generation_prompt %}<|start|>assistant{% endif %}"""
HARMONY_TOKENS = ("<|start|>", "<|channel|>", "<|message|>", "<|constrain|>", "<|call|>")

# Those of models that see: content is a list of parts, and of a string nothing is written.
PARTS_ONLY = """\
{%- for message in messages %}<|{{ message.role }}|>
{%- for part in message.content %}{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}<|end|>
{%- endfor %}"""

# Older ones: turns of two roles, everything else is passed over.
TWO_ROLES = """\
{%- for message in messages if message.role in ['user', 'assistant'] %}<|{{ message.role }}|>
{{- message.content }}<|end|>{% endfor %}"""

# Qwen 3.5's: one system message, and only in the first place.
SYSTEM_FIRST = """\
{%- for message in messages %}
{%- if message.role == 'system' and not loop.first %}{{ raise_exception('System must be first') }}{% endif %}
<|{{ message.role }}|>{{ message.content | trim }}<|end|>{% endfor %}"""

# DeepSeek R1's: the last system message is the only one.
LAST_SYSTEM = """\
{%- set chat = namespace(system='') %}
{%- for message in messages if message.role == 'system' %}{% set chat.system = message.content %}{% endfor %}
{{- chat.system }}
{%- for message in messages if message.role != 'system' %}<|{{ message.role }}|>{{ message.content }}<|end|>
{%- endfor %}"""

# Mistral Nemo's: roles alternate, and the system message stands in the last message, if that is a user's.
SYSTEM_LAST = """\
{%- set chat = messages[1:] if messages[0].role == 'system' else messages %}
{%- set turns = namespace(count=0) %}
{%- for message in chat if message.role == 'user' or message.role == 'assistant' and not message.tool_calls %}
{%- if (message.role == 'user') != (turns.count % 2 == 0) %}{{ raise_exception('No turn') }}{% endif %}
{%- set turns.count = turns.count + 1 %}{% endfor %}
{%- for message in chat %}
{%- if message.role == 'user' %}[INST]
{%- if loop.last and messages[0].role == 'system' %}{{ messages[0].content }};{% endif %}
{%- if tools %}{{ tools | tojson }}{% endif %}{{ message.content }}[/INST]
{%- elif message.tool_calls %}[CALLS]{{ message.tool_calls | map(attribute='function') | list | tojson }}
{%- elif message.role == 'tool' %}[RESULT]{{ message.content }}[/RESULT]
{%- elif message.role == 'assistant' %}{{ message.content }};
{%- else %}{{ raise_exception('No such role') }}{% endif %}{% endfor %}"""

# Llama 3.1's: one call a message, no text beside it, results as JSON.
ONE_CALL = """\
{%- if tools %}{{ tools | tojson }}{% endif %}
{%- for message in messages %}<|{{ message.role }}|>
{%- if message.tool_calls %}
{%- if message.tool_calls | length != 1 %}{{ raise_exception('One call') }}{% endif %}
{%- set call = message.tool_calls[0].function %}{{ call.name }}({{ call.arguments | tojson }})
{%- elif message.role == 'tool' %}{{ {'output': message.content} | tojson }}
{%- else %}{{ message.content }}{% endif %}<|end|>{% endfor %}"""

# Qwen 3 Coder's: walks through the arguments.
WALKED_ARGUMENTS = """\
{%- if tools %}{{ tools | tojson }}{% endif %}
{%- for message in messages %}<|{{ message.role }}|>{{ message.content }}
{%- for call in message.tool_calls or [] %}<call {{ call.function.name }}>
{%- for name, value in call.function.arguments | items %}<{{ name }}>{{ value }}</{{ name }}>{% endfor %}
{%- endfor %}<|end|>{% endfor %}"""

# DeepSeek's: appends the arguments, which must be a string.
TEXT_ARGUMENTS = """\
{%- if tools %}{{ tools | tojson }}{% endif %}
{%- for message in messages %}<|{{ message.role }}|>{{ message.content }}
{%- for call in message.tool_calls or [] %}{{ '<call>' + call.function.name + call.function.arguments }}
{%- endfor %}<|end|>{% endfor %}"""

# Writes tools into a system message, and into no other.
TOOLS_IN_SYSTEM = """\
{%- for message in messages %}<|{{ message.role }}|>{{ message.content }}
{%- if tools and message.role == 'system' %}{{ tools | tojson }}{% endif %}<|end|>{% endfor %}"""

# SmolLM 3's: takes a switch out of the system message.
SWITCH = """\
{%- for message in messages %}<|{{ message.role }}|>
{{- message.content.replace('/no_think', '') | trim }}<|end|>{% endfor %}"""

# What is asked last is all that is asked.
LAST_ONLY = "<|{{ messages[-1].role }}|>{{ messages[-1].content }}<|end|>"

# gpt-oss: the developer's message comes first or not at all.
DEVELOPER_FIRST = """\
{%- if messages[0].role in ['system', 'developer'] %}<|developer|>{{ messages[0].content }}<|end|>{% endif %}
{%- for message in messages if message.role in ['user', 'assistant'] %}<|{{ message.role }}|>
{{- message.content }}<|end|>{% endfor %}"""
