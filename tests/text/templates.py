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
